import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { OwnProcess } from '../../process/own-processes.ts'
import { shellWord } from '../../report/own-programs.ts'
import { type Check, type Finding, note, ok, warning } from '../check.ts'

/** What the shell scripts that came before left in the temp folder. */
const leftoverName = /^(?:tcp_proxy_\d+(?:\.pid|\.log|_failures)|proxy_monitor\.(?:log|pid))$/

const scriptNames = {
  'old-forwarder': 'tcp_proxy.py',
  'old-monitor': 'monitor_proxy.sh',
  'old-status': 'proxy_status.sh',
} as const

/**
 * @param processes all of ours; the old ones are picked out.
 * @param files absolute paths of leftover files.
 */
export function judgeLeftovers(processes: readonly OwnProcess[], files: readonly string[]): Finding[] {
  // The old monitor first: it starts again what is ended below it.
  const order = ['old-monitor', 'old-forwarder', 'old-status'] as const
  const running = order.flatMap((kind) =>
    processes.filter((one) => one.kind === kind).map((one) => ({ ...one, kind })),
  )
  const findings = running.map(({ kind, pid, port }) => {
    const of = port === undefined ? '' : ` of port ${port}`
    return warning(
      'old-script-running',
      `${scriptNames[kind]}${of} still runs as PID ${pid} and competes for the ports`,
      `kill ${pid}`,
    )
  })
  if (files.length > 0) {
    const what = `files of the old shell scripts: ${files.join(', ')}`
    findings.push(note('old-files', what, `rm ${files.map(shellWord).join(' ')}`))
  }
  return findings.length > 0 ? findings : [ok('leftovers', 'no leftovers of the old shell scripts')]
}

export const leftovers: Check = {
  name: 'leftovers',
  run: ({ processes }) => judgeLeftovers(processes, leftoverFiles()),
}

function leftoverFiles(): string[] {
  return [...new Set(['/tmp', tmpdir()])].flatMap((folder) => {
    try {
      return readdirSync(folder)
        .filter((name) => leftoverName.test(name))
        .map((name) => path.join(folder, name))
    } catch {
      return []
    }
  })
}
