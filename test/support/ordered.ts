import { createConnection, type Socket } from 'node:net'
import { exitCodeOf } from '../../src/cli/ctl-output.ts'
import { askControl } from '../../src/control/client.ts'
import { askOrder } from '../../src/orders/client.ts'
import type { LogsOutput } from '../../src/orders/log-orders.ts'
import type { OrderAnswer } from '../../src/orders/order.ts'
import type { UnitResult } from '../../src/orders/unit-result.ts'
import type { UnitState } from '../../src/orders/unit-state.ts'
import type { Finished } from './tools.ts'
import { until } from './tools.ts'
import type { Watched } from './watched.ts'

/** What `proxy-ctl --json` said about its forwards. */
export interface Ordered extends Finished {
  readonly answer: OrderAnswer
  readonly units: readonly UnitResult[]
}

/** Gives an order with `proxy-ctl` and reads its answer. */
export async function typed(watched: Watched, ...words: string[]): Promise<Ordered> {
  const finished = await watched.run('proxy-ctl', ...words, '--json')
  const answer = JSON.parse(finished.stdout) as OrderAnswer
  return { ...finished, answer, units: unitsOf(answer) }
}

/** Orders that are nothing but a name and units. */
const plainOrders = ['start', 'stop', 'restart', 'retry', 'adopt', 'end', 'list', 'reload']

/** The same for tests of what an order does: a plain one is given as `proxy-ctl` gives it, without a process for it. */
export async function order(watched: Watched, ...words: string[]): Promise<Ordered> {
  const [name = '', ...units] = words.filter((word) => word !== '--no-wait')
  if (!plainOrders.includes(name) || units.some((word) => word.startsWith('-')))
    return typed(watched, ...words)
  const wait = !words.includes('--no-wait')
  const input = name === 'reload' ? {} : name === 'list' ? { units } : { units, wait }
  const given = { order: name, input, via: 'cli', timeoutMs: 60_000 } as const
  const answer = await askOrder(watched.directory, given)
  if (answer === undefined) throw new Error('no monitor is running')
  const stdout = JSON.stringify(answer)
  return { code: exitCodeOf(answer), stdout, stderr: '', answer, units: unitsOf(answer) }
}

function unitsOf(answer: OrderAnswer): readonly UnitResult[] {
  const output = ('output' in answer ? answer.output : {}) as { readonly units?: readonly UnitResult[] }
  return output.units ?? []
}

/** The last lines of programs, as `proxy-ctl logs` gets them, without a process for it. */
export async function linesOf(watched: Watched, ...units: readonly string[]): Promise<LogsOutput['lines']> {
  const ask = { order: 'logs', input: { units } }
  const answer = await askControl(watched.file('control.sock'), 'order', ask, 20_000)
  return (answer as { readonly output: LogsOutput }).output.lines
}

/** The first forward of an answer. */
export function first({ units, stdout, stderr }: Ordered): UnitResult {
  const [unit] = units
  if (unit === undefined) throw new Error(`no forward in ${stdout}${stderr}`)
  return unit
}

/** Waits until the monitor has a forward in this phase, with so many restarts when that is asked for. */
export async function phaseOf(
  watched: Watched,
  name: string,
  wanted: UnitState['phase'],
  isMeant: (restarts: number) => boolean = () => true,
): Promise<void> {
  const ask = { order: 'list', input: { units: [name] } }
  await until(`${name} is ${wanted}`, async () => {
    const answer = await askControl(watched.file('control.sock'), 'order', ask, 10_000)
    const { units } = (answer as { readonly output: { readonly units: readonly UnitState[] } }).output
    const [unit] = units
    if (unit?.phase === wanted && isMeant(unit.restarts)) return true
    throw new Error(JSON.stringify(answer))
  })
}

/** A client that stays connected and can still be answered. */
export async function heldConnection(port: number): Promise<{ socket: Socket; isOpen: () => boolean }> {
  const socket = createConnection({ port, host: '127.0.0.1' })
  let open = true
  socket.on('error', () => {})
  socket.on('close', () => {
    open = false
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('data', () => resolve())
    socket.once('close', () => reject(new Error('the connection was closed')))
    socket.write('hello')
  })
  return { socket, isOpen: () => open }
}

/** Gives an order on the control socket, without a program in between; resolves with what became of each forward. */
export async function giveTo(
  watched: Watched,
  name: string,
  input: Readonly<Record<string, unknown>>,
): Promise<readonly UnitResult[]> {
  const order = { order: name, input }
  const answer = (await askControl(watched.file('control.sock'), 'order', order, 120_000)) as OrderAnswer
  if (!('output' in answer)) throw new Error(JSON.stringify(answer))
  return unitsOf(answer)
}

/** The same for one forward. */
export async function give(
  watched: Watched,
  name: string,
  input: Readonly<Record<string, unknown>> = {},
): Promise<UnitResult> {
  const [unit] = await giveTo(watched, name, { units: ['web'], ...input })
  if (unit === undefined) throw new Error(`${name} was about no forward`)
  return unit
}
