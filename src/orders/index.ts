/**
 * orders/: everything that can be asked of a monitor or ordered, as one table. A row says what it takes, what it answers, what a key must
 * allow for it, and carries it out. The roads that lead here (`socket.ts` for `proxy-ctl`; HTTP and MCP) know no order by name: each hands
 * over a name, an input and a principal, and passes back the answer. What a principal may is checked here and nowhere else.
 *
 *   adapter -> carryOut(name, input, caller) -> scope, units (`principal.ts`) -> row -> OrderedMonitor (`monitor.ts`) -> the unit's mailbox
 *   -> decide
 *
 * To add an order, add a row to `unit-orders.ts`, `monitor-orders.ts`, `key-orders.ts`, `program-orders.ts`, `config-orders.ts`, `reading-orders.ts` or `process-orders.ts`; `proxy-ctl`
 * gives it a command in `cli/proxy-ctl.ts`. Loaded by a monitor at its first order: it brings zod.
 */
import * as z from '../config/zod.ts'
import { masked } from '../log/redaction.ts'
import { errorCode, errorText, Failure } from '../os/failure.ts'
import type { AuditEntry } from '../record/audit.ts'
import { configChangeOrders } from './config-change-orders.ts'
import { configOrders } from './config-orders.ts'
import { configRestoreOrder } from './config-restore-order.ts'
import { inputProblem } from './input-problem.ts'
import { keyOrders } from './key-orders.ts'
import { logCountOrder } from './log-count-order.ts'
import { logOrders } from './log-orders.ts'
import type { OrderedMonitor } from './monitor.ts'
import { monitorOrders } from './monitor-orders.ts'
import {
  type Around,
  actorInWords,
  type Order,
  type OrderAnswer,
  type OrderError,
  OrderRefusal,
  refused,
} from './order.ts'
import { notWhole, type Principal, seenBy } from './principal.ts'
import { processOrders } from './process-orders.ts'
import { programOrders } from './program-orders.ts'
import { readingOrders } from './reading-orders.ts'
import { scaleOrder } from './scale-order.ts'
import { terminalOrders } from './terminal-orders.ts'
import { type UnitsOutput, unitOrders } from './unit-orders.ts'
import { waitOrder } from './wait-order.ts'

/** The table. */
export const orders: readonly Order[] = [
  ...readingOrders,
  ...logOrders,
  logCountOrder,
  ...processOrders,
  waitOrder,
  ...unitOrders,
  scaleOrder,
  ...programOrders,
  ...terminalOrders,
  ...monitorOrders,
  ...configOrders,
  ...configChangeOrders,
  configRestoreOrder,
  ...keyOrders,
]

/** Who gives an order, and how he hears of it. */
export interface OrderCaller extends Omit<Around, 'monitor' | 'actor'> {
  /** The whole one. */
  readonly monitor: OrderedMonitor
  readonly principal: Principal
}

/**
 * Carries out one order that its principal may give. Journals it with its outcome when it changes something; that, and every refusal, goes
 * into the audit, too. Never rejects. Secrets in what it answers and tells are masked.
 * @param input as it came: it is checked here.
 */
export async function carryOut(name: string, input: unknown, caller: OrderCaller): Promise<OrderAnswer> {
  const { monitor, principal } = caller
  const order = orders.find((one) => one.name === name)
  if (order === undefined) {
    const known = ordersOf(principal).map((one) => one.name)
    return refused('unknown-order', `there is no order "${name}"`, `use one of ${known.join(', ')}`)
  }
  const refusal = refusedBefore(order, principal, monitor, input)
  if (refusal !== undefined) return refusal
  const began = performance.now()
  const { gone, emit } = caller
  const around: Around = {
    monitor: seenBy(monitor, principal),
    actor: principal.actor,
    gone,
    emit: emit && ((event) => emit(masked(event))),
  }
  const found = await attempt(order, input, around)
  const answer = order.showsSecret ? found : masked(found)
  if (order.changes && order.isFrequent !== true)
    journal(order, input, answer, Math.round(performance.now() - began), caller)
  if (order.changes || isForeignUnit(answer, principal)) {
    monitor.audit(auditEntry(order, input, answer, principal))
  }
  return answer
}

/** The refusal of an order that its principal may not give, whatever its input is: for a road that has not read it yet. It is audited. */
export function refusedBefore(
  order: Order,
  principal: Principal,
  monitor: OrderedMonitor,
  input?: unknown,
): OrderAnswer | undefined {
  const error = refusalOf(order, principal)
  if (error === undefined) return undefined
  const answer: OrderAnswer = { done: false, error }
  monitor.audit(auditEntry(order, input, answer, principal))
  return answer
}

/** The rows that a principal may give orders by: what it is shown of the table. */
export function ordersOf(principal: Principal): readonly Order[] {
  return orders.filter((order) => refusalOf(order, principal) === undefined)
}

function refusalOf({ name, scope, perUnit }: Order, { scopes, units }: Principal): OrderError | undefined {
  if (!scopes.includes(scope)) {
    const message =
      scope === 'owner'
        ? `${name} is for the owner of the monitor, on its own machine`
        : `${name} needs the scope "${scope}", which this key does not have`
    const next = scope === 'owner' ? `proxy-ctl ${name.replace('-', ' ')}` : 'proxy-ctl key create'
    return { code: 'not-permitted', message, next }
  }
  return perUnit !== true && units !== 'all' ? notWhole().error : undefined
}

/** Somebody who is bound to some units has named another one. */
function isForeignUnit(answer: OrderAnswer, { units }: Principal): boolean {
  return units !== 'all' && 'error' in answer && answer.error.code === 'unknown-unit'
}

async function attempt(order: Order, input: unknown, around: Around): Promise<OrderAnswer> {
  const read = order.input.safeParse(input)
  if (!read.success) {
    const known = order.input instanceof z.ZodObject ? Object.keys(order.input.shape) : []
    return refused('invalid-input', `${order.name}: ${inputProblem(read.error.issues, input, known)}`)
  }
  try {
    const output = await order.carryOut(read.data, around)
    return { done: failuresIn(order, output).length === 0, output }
  } catch (error) {
    if (error instanceof OrderRefusal) return { done: false, error: error.error }
    // A file of the state directory is damaged, or the disk is full.
    if (error instanceof Failure || errorCode(error) !== undefined)
      return refused('records-unusable', errorText(error))
    return refused('internal', `a fault in port-watchdog: ${errorText(error)}`)
  }
}

function failuresIn({ failures }: Order, output: unknown): readonly OrderError[] {
  return failures?.(output) ?? []
}

function journal(
  order: Order,
  input: unknown,
  answer: OrderAnswer,
  tookMs: number,
  { monitor, principal: { actor } }: OrderCaller,
): void {
  const failures = 'error' in answer ? [answer.error] : failuresIn(order, answer.output)
  const output = ('output' in answer ? answer.output : {}) as { readonly units?: UnitsOutput['units'] }
  const told = output.units?.map(({ state }) => state.name) ?? []
  const units = told.length > 0 ? told : unitsIn(input)
  const [first] = failures
  const what = [order.name, ...units].join(' ')
  const messages = failures.map((failure) => failure.message).join('; ')
  const message = failures.length === 0 ? null : shortened(messages, longestMessage)
  monitor.journal(
    {
      event: 'order',
      order: order.name,
      actor,
      units,
      outcome: answer.done ? 'done' : 'failed',
      code: first?.code ?? null,
      message,
      tookMs,
    },
    `Order of ${actorInWords(actor)}: ${what}: ${message ?? outcomeInWords(output.units)}`,
  )
}

/** Characters of a name and of a message that journal and audit keep: the sender of a long one must not be able to push older lines out of them. */
const longestName = 100
const longestMessage = 2000

/** The units that an input names, also one that was refused. */
function unitsIn(input: unknown): string[] {
  const asked = (input as { readonly units?: unknown } | null)?.units
  if (!Array.isArray(asked)) return []
  const names = asked.filter((one) => typeof one === 'string').slice(0, 100)
  return names.map((name) => shortened(name, longestName))
}

function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text
}

/** Characters of what was asked for that the audit keeps. */
const longestInput = 2000

function auditEntry(order: Order, input: unknown, answer: OrderAnswer, principal: Principal): AuditEntry {
  const { actor, key, from } = principal
  const failures = 'error' in answer ? [answer.error] : failuresIn(order, answer.output)
  const [first] = failures
  const mayNot = first?.code === 'not-permitted' || isForeignUnit(answer, principal)
  const asked = input === undefined ? undefined : JSON.stringify(masked(withoutHidden(order, input)))
  return {
    actor,
    key,
    from,
    order: order.name,
    units: unitsIn(input),
    ...(asked === undefined ? {} : { input: short(asked) }),
    outcome: mayNot ? 'refused' : answer.done ? 'done' : 'failed',
    code: first?.code ?? null,
    message: first === undefined ? null : shortened(first.message, longestMessage),
  }
}

function withoutHidden({ hides = [] }: Order, input: unknown): unknown {
  if (hides.length === 0 || typeof input !== 'object' || input === null) return input
  const entries = Object.entries(input).flatMap(([key, value]): [string, unknown][] => {
    if (!hides.includes(key)) return [[key, value]]
    // Of keys with values, such as variables, the names are told.
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
    return [[key, Object.fromEntries(Object.keys(value).map((name) => [name, '[redacted]']))]]
  })
  return Object.fromEntries(entries)
}

function short(json: string): unknown {
  return json.length > longestInput ? shortened(json, longestInput) : JSON.parse(json)
}

function outcomeInWords(units: UnitsOutput['units'] | undefined): string {
  const outcomes = new Set(units?.map(({ outcome }) => outcome))
  if (outcomes.size !== 1) return 'done'
  if (outcomes.has('already')) return 'nothing had to be done'
  return outcomes.has('ordered') ? 'under way' : 'done'
}
