// The forwarder that everybody keeps alive: our `tcp-proxy`, with the same words for all.
import { join } from 'node:path'
import { allPids, freePorts, readProc } from '../forwarders/processes.ts'

export interface Forward {
  readonly port: number
  readonly target: number
}

export async function makeForwards(count: number, target: number): Promise<Forward[]> {
  return (await freePorts(count)).map((port) => ({ port, target }))
}

const PROGRAM = 'dist/bin/tcp-proxy.cjs'

/** State is kept below `folder`, so that every process of a contender names its folder. */
export function stateDirectory(folder: string): string {
  return join(folder, 'state')
}

export function forwarderCommand(root: string, { port, target }: Forward, folder: string): string[] {
  return [
    ...[process.execPath, join(root, PROGRAM), `${port}`, '127.0.0.1', `${target}`],
    ...['--bind', '127.0.0.1', '--state-dir', stateDirectory(folder)],
  ]
}

/** The forwarder's process, whoever started it and in whatever PID namespace it lives. */
export function forwarderPid({ port }: Forward): number | undefined {
  return allPids().find((pid) => {
    const words = wordsOf(pid)
    const program = words.findIndex((word) => word.endsWith(PROGRAM))
    return program !== -1 && words[program + 1] === `${port}`
  })
}

/** Ends what a contender has left: every process whose words name something below `folder`, which is the bench's own. */
export function killStrays(folder: string): void {
  for (const pid of allPids()) {
    if (pid === process.pid || !wordsOf(pid).some((word) => word.includes(`${folder}/`))) continue
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // Gone meanwhile.
    }
  }
}

export function wordsOf(pid: number): string[] {
  return readProc(`/proc/${pid}/cmdline`).split('\0')
}
