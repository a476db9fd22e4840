import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll } from 'vitest'
import { killIfThere } from './tools.ts'

// Set up for every file of `real` and `root`: it gets a temp folder of its own, by which all that it starts can be told. When its tests
// are over, passed or failed, no process that knows this folder is left, and neither is the folder. Labs of network namespaces are
// taken down by the next one that is built (support/namespaces.ts), and when the worker ends.

// Short, because the paths of Unix sockets must be.
const folder = mkdtempSync(path.join(tmpdir(), 't'))
// Other users, whom some tests run programs as, must be able to go through it.
chmodSync(folder, 0o755)
process.env.TMPDIR = folder

afterAll(() => {
  for (const pid of startedHere()) killIfThere(pid)
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

/** Processes whose arguments or environment name the folder. */
function startedHere(): number[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid && (knows(pid, 'cmdline') || knows(pid, 'environ')))
}

function knows(pid: number, file: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(folder)
  } catch {
    return false
  }
}
