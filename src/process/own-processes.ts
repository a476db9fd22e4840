import path from 'node:path'
import { packageFile } from '../os/package-file.ts'
import { system } from '../os/system.ts'
import { identityOf, type ProcessIdentity } from './identity.ts'

/**
 * - `forwarder`, `monitor`: programs of this package, of whatever installation and user.
 * - `worker`: a forwarder that another forwarder has started to serve the same port with it.
 * - `old-forwarder`, `old-monitor`, `old-status`: `tcp_proxy.py`, `monitor_proxy.sh`, `proxy_status.sh`, the scripts that came before.
 */
export type OwnKind = 'forwarder' | 'worker' | 'monitor' | 'old-forwarder' | 'old-monitor' | 'old-status'

/** A process that forwards or watches ports. What it is was read from its command line: believe nothing that another user's says. */
export interface OwnProcess {
  readonly kind: OwnKind
  readonly pid: number
  /** Taken when it was listed; undefined when it has ended since, or cannot be read. */
  readonly identity: ProcessIdentity | undefined
  /** Undefined when the system does not tell. */
  readonly uid: number | undefined
  readonly words: readonly string[]
  /** The port that a forwarder listens on; undefined when its words do not say. */
  readonly port: number | undefined
  /** Absolute. Undefined = its user's default, or relative to a folder that is unknown. */
  readonly stateDirectory: string | undefined
}

interface Listed {
  readonly pid: number
  readonly parent: number
  readonly uid: number | undefined
  readonly words: readonly string[]
}

/**
 * Every forwarder and monitor of this PID namespace, watched or not, the old shell scripts among them. Takes about 20 ms.
 */
export async function ownProcesses(): Promise<OwnProcess[]> {
  const listed = await allProcesses()
  const own = listed.flatMap((one) => {
    const kind = kindOf(one.words)
    return kind === undefined ? [] : [{ ...one, kind, port: portOf(kind, one.words) }]
  })
  return own.map((one) => {
    const parent = own.find(({ pid }) => pid === one.parent)
    const isWorker = one.kind === 'forwarder' && parent?.kind === 'forwarder' && parent.port === one.port
    return {
      kind: isWorker ? 'worker' : one.kind,
      pid: one.pid,
      identity: identityOf(one.pid),
      uid: one.uid,
      words: one.words,
      port: one.port,
      stateDirectory: stateDirectoryOf(one.words),
    }
  })
}

/** ps-list runs `ps`, which small container images lack: the system's table then tells the same. */
async function allProcesses(): Promise<Listed[]> {
  try {
    const { listProcesses } = await import('../os/portable/libraries.ts')
    return (await listProcesses()).map(({ pid, parent, uid, command }) => {
      // Asking for a command line costs a program where this is the same.
      const words = system.keepsArguments ? system.commandLine(pid) : undefined
      return { pid, parent, uid, words: words ?? command.split(' ') }
    })
  } catch {
    return system.processTable().map(({ pid, parent }) => {
      return { pid, parent, uid: system.userOf(pid), words: system.commandLine(pid) ?? [] }
    })
  }
}

/** Without the ending that a program of this package may have: versions differ in it. */
const programs: ReadonlyMap<string, OwnKind> = new Map([
  ['tcp-proxy', 'forwarder'],
  ['proxy-monitor', 'monitor'],
  ['tcp_proxy.py', 'old-forwarder'],
  ['monitor_proxy.sh', 'old-monitor'],
  ['proxy_status.sh', 'old-status'],
])

/** Where the programs of this package are. */
const ownPrograms = packageFile('dist/')

/** A forwarder of another version or another place, as it is installed or run from its sources. */
const forwarderProgram = /\/tcp-proxy(?:\.c?js)?$/

/** Whether a command line runs, or is given, a program of this package. */
export function isOwnProgram(words: readonly string[]): boolean {
  return words.some((word) => word.startsWith(ownPrograms) || forwarderProgram.test(word))
}

const interpreter = /^(?:node|nodejs|python[\d.]*|bash|sh|dash|env|nohup)$/

/** What a command line runs: its first word, or what its interpreter was given. */
export function kindOf(words: readonly string[]): OwnKind | undefined {
  const at = programAt(words)
  const name = path.basename(words[at] ?? '').replace(/\.c?js$/, '')
  if (name === 'port-watchdog') {
    const word = words[at + 1]
    return word === 'forward' ? 'forwarder' : word === 'start' ? 'monitor' : undefined
  }
  return programs.get(name)
}

function programAt(words: readonly string[]): number {
  if (!interpreter.test(path.basename(words[0] ?? ''))) return 0
  const at = words.findIndex((word, index) => index > 0 && !word.startsWith('-'))
  return Math.max(at, 0)
}

function portOf(kind: OwnKind, words: readonly string[]): number | undefined {
  if (kind !== 'forwarder' && kind !== 'old-forwarder') return undefined
  const port = Number(words.slice(programAt(words) + 1).find((word) => /^\d+$/.test(word)))
  return port >= 1 && port <= 65_535 ? port : undefined
}

function stateDirectoryOf(words: readonly string[]): string | undefined {
  const glued = words.find((word) => word.startsWith('--state-dir='))
  const given = glued?.slice('--state-dir='.length) ?? words[words.indexOf('--state-dir') + 1]
  if (!glued && !words.includes('--state-dir')) return undefined
  return given !== undefined && path.isAbsolute(given) ? given : undefined
}
