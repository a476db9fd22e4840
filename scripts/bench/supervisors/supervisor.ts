// What a supervisor is to the stages.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startServer } from '../forwarders/processes.ts'
import type { Forward } from './forwards.ts'

/**
 * - `lifted`: never gives up and never waits longer than at the first restart, however many kills come in a row.
 * - `held`: as lifted, and the listening sockets are held by somebody who outlives the forwarder.
 * - `shipped`: as it comes, told only that the forwarder shall be restarted.
 */
export type Limits = 'lifted' | 'held' | 'shipped'

export interface Supervisor {
  readonly name: string
  /** Why it cannot run here; undefined when it can. */
  readonly missing: string | undefined
  /** It looks only so often, in ms, so that its kills must come at moments spread over that time. */
  readonly looksEvery: number | undefined
  /** How many of its forwarders are killed within one look. One for those that wait for nothing or not for long. */
  readonly lanes: number
  /** False for one that has no limits to lift. */
  readonly limited: boolean
  /** Why no sockets can be held for its forwarders here; undefined when they can. */
  readonly cannotHold: string | undefined
  readonly start: (forwards: readonly Forward[], folder: string, limits: Limits) => Promise<Watchdog>
}

/** A started supervisor. */
export interface Watchdog {
  /** The supervisor's own process, without what it keeps alive. */
  readonly pid: number
  readonly stop: () => Promise<void>
}

/** A supervisor with its forwarders, all of which serve. */
export interface Post extends Watchdog {
  readonly supervisor: Supervisor
  readonly forwards: readonly Forward[]
}

const logFile = (folder: string) => join(folder, 'output.log')

/** A supervisor that stays in the foreground. */
export function inForeground(command: readonly string[], folder: string): Watchdog {
  const { pid, stop } = startServer(command, logFile(folder))
  return { pid, stop }
}

/** What a supervisor in the foreground printed last. */
export function lastWords(folder: string): string {
  const log = logFile(folder)
  return existsSync(log) ? readFileSync(log, 'utf8').trim().slice(-300) : 'it said nothing'
}
