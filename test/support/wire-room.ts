import { join } from 'node:path'
import { askControl } from '../../src/control/client.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import type { Exchanged } from './exact-bytes.ts'
import { buildLab, type Lab, type LabOptions, type Machine } from './namespaces.ts'
import type { Resident } from './resident.ts'
import { checkout } from './tools.ts'
import { command } from './watched.ts'

const program = join(checkout, 'dist', 'test', 'support', 'wire-peer-process.js')

/** What one client of the role `stream` saw. */
export interface Streamed {
  readonly end: string
  readonly length: number
  readonly received: number
  readonly isExact: boolean
}

/** What one client of the role `hammer` saw. */
export interface Hammered {
  readonly answered: number
  readonly otherwise: readonly string[]
}

/** A forwarder on the lab's host. */
export interface LabForwarder {
  readonly program: Resident
  health(): Promise<ForwarderHealth>
}

/** The words of a peer in one of its roles; see wire-peer-process.ts. */
export function peer(machine: Machine, role: string, ...words: readonly (string | number)[]): Resident {
  return machine.start([process.execPath, program, role, ...words.map(String)])
}

/** Runs the role `ask` to its end: what comes back, or an error's code. */
export async function ask(machine: Machine, host: string, port: number): Promise<string> {
  const { stdout } = await machine.run([process.execPath, program, 'ask', host, String(port)])
  return stdout.trim()
}

/** Waits until a client on this machine has got its answer from there. */
export async function reached(machine: Machine, host: string, port: number): Promise<void> {
  await peer(machine, 'reach', host, port).line(/reached/)
}

export async function told<T>(resident: Resident): Promise<T> {
  return JSON.parse(await resident.line(/^[[{]/, 60_000)) as T
}

/** Starts `tcp-proxy` on the host and waits until it listens. */
export async function startForwarder(lab: Lab, port: number, ...words: string[]): Promise<LabForwarder> {
  const started = lab.host.start(
    command('tcp-proxy', String(port), ...words, '--access-log', '-', '--state-dir', lab.folder),
  )
  await started.line(/Listening on/)
  const control = join(lab.folder, `tcp_proxy_${port}.sock`)
  return {
    program: started,
    health: async () => (await askControl(control, 'health', {}, 10_000)) as ForwarderHealth,
  }
}

/** Every connection whose two ends do not agree. */
export function damaged(exchanged: readonly Exchanged[]): readonly Exchanged[] {
  return exchanged.filter(
    ({ client, target }) => client.sent !== target.received || target.sent !== client.received,
  )
}

/** A lab for one test, taken down after it; what was said in it goes with a failure. */
export async function inLab(use: (lab: Lab) => Promise<void>, options?: LabOptions): Promise<void> {
  const lab = buildLab(options)
  try {
    await use(lab)
  } catch (error) {
    throw new Error(`${String(error)}\n${lab.story()}`, { cause: error })
  } finally {
    lab.remove()
  }
}
