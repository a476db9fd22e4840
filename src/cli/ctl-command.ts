/** What the commands of `proxy-ctl` share: their options, how they ask the monitor, and how they follow what it tells. */
import type { Command } from 'commander'
import { askOrder, noMonitor } from '../orders/client.ts'
import type { RemoteMonitor } from '../orders/http-client.ts'
import type { OrderAnswer, OrderError } from '../orders/order.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { shellWord } from '../report/own-programs.ts'
import { newCommand } from './command.ts'
import { endOfReading } from './run.ts'

/** Options of every order. */
export interface OrderOptions {
  readonly json?: boolean
  readonly stateDir?: string
  readonly url?: string
  readonly keyFile?: string
}

/** ms by which an answer may come later than the order has waited. */
const answerTakesMs = 10_000

/** Node's timers take no more. */
const forEverMs = 2 ** 31 - 1

export function subcommand(name: string, description: string): Command {
  return newCommand(name, description)
    .option('-j, --json', 'print the answer as JSON')
    .option('--state-dir <DIR>', 'the state directory of the monitor (default: looks in the usual places)')
    .option('--url <URL>', 'ask the HTTP API of a monitor elsewhere, such as https://box.example:6280')
    .option('--key-file <FILE>', 'with --url: the file that holds the key')
}

export async function order(
  options: OrderOptions,
  name: string,
  input: Readonly<Record<string, unknown>>,
  takesMs = 0,
): Promise<OrderAnswer> {
  const timeoutMs = Math.min(takesMs + answerTakesMs, forEverMs)
  const remote = remoteOf(options)
  if (remote !== undefined) {
    const { giveRemoteOrder } = await import('../orders/http-client.ts')
    return await giveRemoteOrder(remote, { order: name, input, timeoutMs })
  }
  const directory = readersDirectory(options.stateDir)
  const answer = await askOrder(directory, { order: name, input, via: 'cli', timeoutMs })
  return withDirectory(answer ?? (await noMonitorRuns(directory)), options.stateDir)
}

/** The next steps find the same monitor. */
function withDirectory(answer: OrderAnswer, directory: string | undefined): OrderAnswer {
  if (directory === undefined) return answer
  const there = <Error extends OrderError>(error: Error): Error =>
    error.nextOrder === undefined || error.next === null
      ? error
      : { ...error, next: `${error.next} --state-dir ${shellWord(directory)}` }
  if ('error' in answer) return { ...answer, error: there(answer.error) }
  const { units } = (answer.output ?? {}) as { readonly units?: unknown }
  if (!Array.isArray(units)) return answer
  const told = units.map((unit: { readonly error?: OrderError | null }) =>
    unit.error == null ? unit : { ...unit, error: there(unit.error) },
  )
  return { ...answer, output: { ...(answer.output as object), units: told } }
}

async function noMonitorRuns(directory: string): Promise<never> {
  const { message, next } = await noMonitor(directory)
  throw new Failure(`${message}; ${next}`, exitCode.noMonitor)
}

export async function print<Output>(
  answer: OrderAnswer,
  { json }: OrderOptions,
  text: (output: Output) => string,
): Promise<number> {
  const { errorText, exitCodeOf } = await import('./ctl-output.ts')
  if (json === true) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
  else if ('error' in answer) process.stderr.write(errorText(answer.error))
  else process.stdout.write(text(answer.output as Output))
  return exitCodeOf(answer)
}

/**
 * Gives an order that tells things until it is over, or until the reader has enough: SIGINT, SIGTERM, or a closed pipe.
 * @param forMs how long it is to go on; undefined = without end.
 * @param tell gets what it tells, one by one.
 * @param left aborted when the reader has enough for another reason.
 */
export async function followOrder(
  options: OrderOptions,
  name: string,
  input: Readonly<Record<string, unknown>>,
  forMs: number | undefined,
  tell: (event: unknown) => void,
  left?: AbortSignal,
): Promise<number> {
  const remote = remoteOf(options)
  if (remote !== undefined) return await followRemote(remote, { name, input, forMs, tell, left })
  const { errorText, exitCodeOf } = await import('./ctl-output.ts')
  const { connectMonitor, giveOrder, unanswered } = await import('../orders/client.ts')
  const directory = readersDirectory(options.stateDir)
  const control = (await connectMonitor(directory)) ?? (await noMonitorRuns(directory))
  let isEnded = false
  void control.closed.then(() => {
    isEnded = true
  })
  const enough = enoughRead(left)
  const leave = () => control.close()
  enough.addEventListener('abort', leave, { once: true })
  if (enough.aborted) leave()
  const timeoutMs = forMs === undefined ? forEverMs : Math.min(forMs + answerTakesMs, forEverMs)
  try {
    const given = { order: name, input, via: 'cli', timeoutMs, onEvent: tell } as const
    const answer = await giveOrder(control, given)
    if ('error' in answer) process.stderr.write(errorText(answer.error))
    return exitCodeOf(answer)
  } catch (error) {
    if (enough.aborted) return exitCode.ok
    if (!isEnded) throw unanswered(directory, error)
    throw new Failure('the monitor has ended', exitCode.noMonitor)
  } finally {
    control.close()
  }
}

/** Aborted when the reader has enough, for whatever reason. */
function enoughRead(left: AbortSignal | undefined): AbortSignal {
  return left === undefined ? endOfReading() : AbortSignal.any([endOfReading(), left])
}

interface Followed {
  readonly name: string
  readonly input: Readonly<Record<string, unknown>>
  readonly forMs: number | undefined
  readonly tell: (event: unknown) => void
  readonly left: AbortSignal | undefined
}

/** The same over HTTP. */
async function followRemote(
  remote: RemoteMonitor,
  { name, input, forMs, tell, left }: Followed,
): Promise<number> {
  const { errorText, exitCodeOf } = await import('./ctl-output.ts')
  const { giveRemoteOrder } = await import('../orders/http-client.ts')
  const enough = enoughRead(left)
  const timeoutMs = forMs === undefined ? forEverMs : Math.min(forMs + answerTakesMs, forEverMs)
  try {
    const given = { order: name, input, timeoutMs, onEvent: tell, signal: enough }
    const answer = await giveRemoteOrder(remote, given)
    if ('error' in answer) process.stderr.write(errorText(answer.error))
    return exitCodeOf(answer)
  } catch (error) {
    if (enough.aborted) return exitCode.ok
    throw error
  }
}

/** A monitor that is asked over HTTP; undefined = one of this machine. */
function remoteOf({ url, keyFile, stateDir }: OrderOptions): RemoteMonitor | undefined {
  if (url !== undefined && stateDir !== undefined)
    throw new Failure('--url and --state-dir name two monitors; give one', exitCode.usage)
  if ((url === undefined) !== (keyFile === undefined))
    throw new Failure('--url and --key-file need each other', exitCode.usage)
  return url === undefined || keyFile === undefined ? undefined : { url, keyFile }
}
