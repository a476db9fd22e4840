// What a reader of the figures needs to know about where they come from.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
  readonly commit: string
  /** Runnable programs over the last minute before the run; well above 0.5 means that the bench was not alone. */
  readonly loadBefore: number
  readonly versions: Readonly<Record<string, string>>
}

/** By tool, the command that prints its version. */
type VersionCommands = Readonly<Record<string, readonly [string, ...string[]]>>

const FORWARDERS: VersionCommands = {
  haproxy: ['haproxy', '-v'],
  nginx: ['nginx', '-v'],
  socat: ['socat', '-V'],
  iperf3: ['iperf3', '--version'],
  wrk: ['wrk', '-v'],
  python3: ['python3', '--version'],
}

export function describeMachine(root: string, commands: VersionCommands = FORWARDERS): Machine {
  const versions = Object.entries(commands).map(([tool, command]) => [tool, version(command)])
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    commit: commit(root),
    loadBefore: loadavg()[0] ?? 0,
    versions: Object.fromEntries(versions),
  }
}

/** Some print it on standard error, and wrk ends in 1 after it. */
function version([tool, ...words]: readonly [string, ...string[]]): string {
  const { stdout, stderr } = spawnSync(tool, words, { encoding: 'utf8' })
  return /\d+\.\d+(\.\d+)*/.exec(`${stdout ?? ''}${stderr ?? ''}`)?.[0] ?? 'missing'
}

function commit(root: string): string {
  try {
    return execFileSync('git', ['-C', root, 'describe', '--always', '--dirty'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}
