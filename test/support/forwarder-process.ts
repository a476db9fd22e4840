import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { askControl } from '../../src/control/client.ts'
import type { AccessRecord } from '../../src/forward/access-record.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { Told, temporaryFolder } from './forward.ts'
import { freePort, tcpProxy } from './tools.ts'

/** `tcp-proxy` as a person runs it, on 127.0.0.1. */
export interface ForwarderProcess {
  readonly port: number
  readonly child: ChildProcess
  /** Its control socket. */
  readonly control: string
  /** One for each connection that ended. */
  readonly records: Told<AccessRecord>
  /** What it says besides. */
  readonly lines: Told<string>
  /** Resolves with the exit code, or the signal that killed it. */
  readonly exited: Promise<number | string>
  health(): Promise<ForwarderHealth>
  /** Ends it by force and removes its files. */
  close(): Promise<void>
}

/**
 * @param target `HOST PORT` or `unix:/path`.
 * @param limits what the shell does before it becomes tcp-proxy, such as `ulimit -n 64`.
 */
export async function startTcpProxy(
  target: string,
  options: readonly string[] = [],
  limits = ':',
): Promise<ForwarderProcess> {
  const folder = temporaryFolder()
  const port = await freePort()
  const words = [tcpProxy, String(port), ...target.split(' '), '--bind', '127.0.0.1', '--access-log', '-']
  const child = spawn(
    'sh',
    [
      '-c',
      `${limits}; exec "$@"`,
      'sh',
      process.execPath,
      ...words,
      '--report-fd',
      '3',
      '--state-dir',
      folder.path,
      ...options,
    ],
    { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] },
  )
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string)
  const records = new Told<AccessRecord>()
  const lines = new Told<string>()
  createInterface(child.stdio[1] as Readable).on('line', (line) => {
    if (line.startsWith('{')) records.add(JSON.parse(line) as AccessRecord)
    else lines.add(line)
  })
  const [report] = (await once(child.stdio[3] as Readable, 'data')) as [Buffer]
  if (!report.toString().includes('"ready":true')) throw new Error(report.toString())
  const control = join(folder.path, `tcp_proxy_${port}.sock`)
  return {
    port,
    child,
    control,
    records,
    lines,
    exited,
    health: async () => (await askControl(control, 'health', {}, 10_000)) as ForwarderHealth,
    close: async () => {
      child.kill('SIGKILL')
      await exited
      folder.remove()
    },
  }
}
