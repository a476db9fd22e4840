/** `mcp-proxy tap` and `mcp-proxy replay`: the messages between the gateway and its connectors, and one of them again. */
import { countParser } from '../config/values.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { readTapRecords, type TapRecord } from '../record/shapes/gateway-tap.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { argument, filled, type Program } from './command.ts'
import { connectorsOf, gatewayCommand } from './mcp-command.ts'
import { askGateway } from './mcp-orders.ts'

interface TapOptions {
  readonly stateDir?: string
  readonly connector?: string
  readonly client?: string
  readonly tail: number
  readonly follow?: boolean
  readonly json?: boolean
}

/** ms between two looks at the file, and for which the tap is kept on beyond each look. */
const lookEveryMs = 200
const watchMs = 10_000

/** ms that the start of a connector may take. */
const startTimeoutMs = 60_000

/** Columns of a line that is not printed on a terminal. */
const widthWithoutTerminal = 200

/** What stands where a secret was. */
const mask = '[redacted]'

const tap: Program = {
  command: gatewayCommand(
    'tap',
    'Show the messages between the gateway and its connectors; secrets are masked.',
  )
    .option('--connector <ID>', 'only those of this connector', filled)
    .option('--client <NAME>', 'only those of calls of this client, by the name that it gives itself', filled)
    .option('--tail <N>', 'how many messages', argument(countParser(0, 100_000)), 20)
    .option('-f, --follow', 'switch the tap on, and print messages as they come')
    .option('-j, --json', 'print whole messages, one JSON object a line')
    .addHelpText(
      'after',
      '\nWithout --follow, messages are written while the configuration has gateway: { tap: true }.',
    ),
  run: async ({ stateDir, connector, client, tail, follow = false, json = false }: TapOptions) => {
    const { TapReader, tapLine } = await import('../report/gateway-tap.ts')
    const directory = readersDirectory(stateDir)
    const width = process.stdout.columns || widthWithoutTerminal
    const lineOf = (record: TapRecord) => (json ? `${JSON.stringify(record)}\n` : tapLine(record, width))
    const reader = new TapReader(directory, { connector, client }, lineOf)
    const shown = reader.last(tail)
    process.stdout.write(shown)
    if (!follow) {
      if (shown === '') {
        const isChosen = (connector ?? client) !== undefined
        const what = isChosen ? 'no message of this connector or client was written' : 'nothing was written'
        process.stderr.write(`mcp-proxy: ${what}; watch it: mcp-proxy tap --follow\n`)
      }
      return exitCode.ok
    }
    const { endOfReading } = await import('./run.ts')
    const ended = endOfReading()
    const watch = (forMs: number) => askGateway(directory, 'tap', { forMs })
    await watch(watchMs)
    for (let looks = 1; !ended.aborted; looks++) {
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
      process.stdout.write(reader.more())
      if ((looks * lookEveryMs) % (watchMs / 2) === 0) await watch(watchMs)
    }
    await watch(0).catch(() => {})
    return exitCode.ok
  },
}

interface ReplayOptions {
  readonly stateDir?: string
  readonly config?: string
  readonly json?: boolean
}

const replay: Program = {
  command: gatewayCommand(
    'replay',
    'Send a call that the tap has written once more, and show how the answer differs. The running gateway is used; without one, the connector is started.',
  )
    .argument(
      '<NUMBER>',
      'of the message, as mcp-proxy tap shows it',
      argument(countParser(1, Number.MAX_SAFE_INTEGER)),
    )
    .option('--config <FILE>', 'configuration file, or that of an MCP client', filled)
    .option('-j, --json', 'print the new answer as JSON')
    .addHelpText('after', '\nExit codes: 0 = the same answer, 1 = another one.'),
  run: async (number: number, options: ReplayOptions) => {
    const directory = readersDirectory(options.stateDir)
    const records = readTapRecords(directory)
    const { connector: id, method, params } = callOf(records, number)
    const { connectors, file, gateway } = await connectorsOf(options.config)
    const connector = connectors.find((one) => one.id === id)
    if (connector === undefined)
      throw new Failure(`there is no connector "${oneLine(id)}" any more in ${oneLine(file)}`, exitCode.usage)
    const { openOwnClient } = await import('../gateway/own-client.ts')
    const { longName } = await import('../gateway/names.ts')
    const isNamed = typeof params.name === 'string'
    const named = isNamed ? { ...params, name: longName(connector, String(params.name)) } : params
    const client = await openOwnClient({
      stateDirectory: directory,
      connectors: [{ ...connector, enabled: true }],
      startTimeoutMs,
      pin: gateway.pin,
    })
    try {
      const answer = await client
        .ask(method, named)
        .catch((error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }))
      const { masked } = await import('../log/redaction.ts')
      const { differencesOf } = await import('../report/difference.ts')
      const found = differencesOf(answerTo(records, number), asWritten(masked(answer)))
      if (options.json === true) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
      else if (found.length === 0) process.stdout.write('the answer is the same\n')
      else
        for (const { place, before, after } of found)
          process.stdout.write(`${place || 'answer'}\n- ${textOf(before)}\n+ ${textOf(after)}\n`)
      return found.length === 0 ? exitCode.ok : exitCode.orderFailed
    } finally {
      await client.close()
    }
  },
}

export const tapPrograms: readonly Program[] = [tap, replay]

interface RecordedCall {
  readonly connector: string
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
}

/** What can be sent once more. @throws Failure when the message is no call, or is not whole. */
function callOf(records: readonly TapRecord[], number: number): RecordedCall {
  const record = records.find((one) => one.number === number)
  const refused = (why: string) => new Failure(`message ${number} ${why}`, exitCode.usage)
  if (record === undefined) throw refused('was not written, or is too old; see mcp-proxy tap')
  const { connector, direction, method, id, client, message } = record
  if (direction !== 'to-server' || method === null || id === null || client === null)
    throw refused('is no call of a client')
  const { params = {} } = (message ?? {}) as { readonly params?: Readonly<Record<string, unknown>> }
  if (message === undefined) throw refused('was too long to be written')
  const { _meta, ...given } = params
  if (JSON.stringify(given).includes(mask))
    throw refused('has a secret, which was masked; make the call with mcp-proxy call')
  return { connector, method, params: given }
}

/** What was answered; undefined = that was not written. */
function answerTo(records: readonly TapRecord[], number: number): unknown {
  const call = records.find((one) => one.number === number)
  const answer = records.find(
    (one) =>
      one.number > number &&
      one.direction === 'from-server' &&
      one.connector === call?.connector &&
      one.id === call.id &&
      isAnswer(one.message),
  )
  const { result, error } = (answer?.message ?? {}) as {
    readonly result?: unknown
    readonly error?: { message?: string }
  }
  return error === undefined ? result : { error: error.message }
}

/** Numbers beyond those of JavaScript are written as null. */
function asWritten(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

function isAnswer(message: unknown): boolean {
  return typeof message === 'object' && message !== null && !('method' in message)
}

function textOf(value: unknown): string {
  return value === undefined ? '(nothing)' : oneLine(JSON.stringify(value))
}
