// A folder for one run. Whatever happens, what was started in it ends and the folder goes.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeCgroups } from '../../lib/systemd-user.ts'
import { killEverything } from '../forwarders/processes.ts'
import { killStrays } from './forwards.ts'

export async function inFolder(prefix: string, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  const cleanUp = () => {
    killEverything()
    killStrays(folder)
    for (const name of readdirSync(folder)) removeCgroups(join(folder, name))
    // What was killed may write its last line meanwhile.
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(signal, () => {
      cleanUp()
      process.exit(code)
    })
  }
  try {
    await work(folder)
  } finally {
    cleanUp()
  }
}
