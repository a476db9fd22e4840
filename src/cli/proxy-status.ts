import { type Parsed, parseDuration } from '../config/values.ts'
import { exitCode, Failure } from '../os/failure.ts'
import type { StatusReport } from '../record/shapes/status-report.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { assess } from '../report/assess.ts'
import { gather, type LookMemory, type LookOptions } from '../report/gather.ts'
import { gatherHistory } from '../report/gather-history.ts'
import { demandReadable } from '../report/readable.ts'
import type { WatchSources } from '../report/screen/watch-screen.ts'
import { looksOf, widthOf } from '../report/terminal.ts'
import type { Line } from '../report/text.ts'
import { isReached, timedOut, type WaitGoal, waitGoals } from '../report/wait.ts'
import { argument, newCommand, program } from './command.ts'
import { endOfReading } from './run.ts'

// What lays a report out for people is loaded where it is used: programs that ask for JSON, often again and again, do not wait for it.

interface Options {
  json?: boolean
  watch?: true | WatchWord
  wait?: WaitGoal
  timeout?: number
  follow?: boolean
  history?: boolean
  processes?: boolean
  stateDir?: string
}

/** What follows --watch: a time in ms, or, because the time may be left out, a forward. */
type WatchWord = { readonly everyMs: number } | { readonly asked: string }

/** ms between two looks of --watch at least. */
const shortestWatchMs = 100

/** ms between two looks of --watch by default. */
const defaultWatchMs = 2000

/** ms that --wait waits by default. */
const defaultTimeoutMs = 30_000

const command = newCommand('proxy-status', 'Show the status of the forwards and the monitor (read-only).')
  .argument(
    '[UNIT...]',
    'only these forwards and programs, by name or port, with everything that is known of them',
  )
  .optionsGroup('What to show:')
  .option(
    '-w, --watch [TIME]',
    'refresh every TIME (default 2s, e.g. 500ms); without a terminal, print one line per change',
    argument(parseWatchWord),
  )
  .option('-f, --follow', 'the same as --watch')
  .option('--history', 'availability, failures and time to recovery of the last days and weeks')
  .option(
    '--processes',
    'every forwarder and monitor on this machine, monitored or not, and what monitors it',
  )
  .optionsGroup('Wait for it:')
  .option('--wait <GOAL>', 'wait until all forwards are "running" or "healthy"', argument(parseGoal))
  .option('--timeout <TIME>', 'how long --wait waits (default: 30s; 0 = for ever)', argument(parseDuration))
  .optionsGroup('How to show it:')
  .option('-j, --json', 'print one JSON object (schema/status.schema.json); with --watch one per change')
  .optionsGroup('Where to look:')
  .option('--state-dir <DIR>', 'the state directory of the monitor (default: looks in the usual places)')
  .addHelpText(
    'after',
    `
Keys of --watch: arrows select a forward, Enter shows its details, l its log, w why it was last restarted,
h its history; Esc goes back, PgUp and PgDn scroll, q quits.

Exit codes:
  0    all is well; forwards that wait for their app count as well
  1    the monitor died or hangs
  3    no monitor is running
  4    the records of the monitor cannot be used
  64   invalid arguments
  66   with --history: the state directory does not exist
  77   with --history: no permission to read it
  124  --wait took too long
  150  monitored, but at least one forward or its target is down
  151  monitored and reachable, with warnings

Examples:
  proxy-status web                              what is wrong with it, and what to do
  proxy-status --watch
  proxy-status --wait healthy --timeout 30s && open http://localhost:6274
  proxy-status --history web                    how often it failed this week

Manual: man proxy-status`,
  )

export const proxyStatus = program(command, async (words: string[], options: Options) => {
  const asked = [...words, ...askedBehindWatch(options)]
  if (options.processes === true) return printProcesses(options)
  const directory = readersDirectory(options.stateDir)
  if (options.history === true) {
    demandReadable(directory)
    return printHistory(directory, asked, options)
  }
  if (options.wait !== undefined) return waitFor(options.wait, directory, asked, options)
  if (options.timeout !== undefined) throw new Failure('--timeout works only with --wait', exitCode.usage)
  if (options.watch !== undefined || options.follow === true) return watch(directory, asked, options)
  return print(assess(await gather(directory, { asked, linesOf: linesIn(directory) })), options)
})

export const start = proxyStatus.runWith

/** Reads what programs printed; what that takes is loaded when a program is asked about. */
function linesIn(directory: string): NonNullable<LookOptions['linesOf']> {
  return async (name, count) => (await import('./program-log.ts')).lastEntries(directory, name, count)
}

async function printHistory(directory: string, asked: readonly string[], options: Options): Promise<number> {
  const history = await gatherHistory(directory, asked)
  if (options.json === true) return printJson(history)
  const { historyLines } = await import('../report/render-history.ts')
  return printLines(historyLines(history, widthOf(process.stdout)))
}

/** Of all state directories, so that none has to be found. */
async function printProcesses({ json }: Options): Promise<number> {
  const { listProcesses, processLines } = await import('../report/processes.ts')
  const list = await listProcesses()
  return json === true ? printJson(list) : printLines(processLines(list, widthOf(process.stdout)))
}

async function waitFor(
  goal: WaitGoal,
  directory: string,
  asked: readonly string[],
  options: Options,
): Promise<number> {
  const { lookAgain } = await import('../report/watch.ts')
  const { WaitProgress, whatIsMissing } = await import('../report/wait-progress.ts')
  const signal = endOfReading('SIGHUP')
  const progress = new WaitProgress(process.stderr)
  const look = async () => assess(await gather(directory, { asked, withFigures: false }))
  const last = await lookAgain(look, (seen) => isReached(goal, seen), {
    timeoutMs: options.timeout ?? defaultTimeoutMs,
    signal,
    waiting: (report, forMs) => progress.tell(whatIsMissing(goal, report), forMs),
  })
  progress.end()
  await print(assess(await gather(directory, { asked, linesOf: linesIn(directory) })), options)
  if (isReached(goal, last)) return exitCode.ok
  process.stderr.write(`proxy-status: not ${goal} in time: ${whatIsMissing(goal, last)}\n`)
  return timedOut
}

async function watch(directory: string, asked: readonly string[], options: Options): Promise<number> {
  const signal = endOfReading('SIGHUP')
  const intervalMs = watchIntervalMs(options)
  const json = options.json === true
  const memory: LookMemory = {}
  const look = async () => assess(await gather(directory, { asked, memory, linesOf: linesIn(directory) }))
  const { stdout, stdin } = process
  if (!stdout.isTTY || json || process.env.TERM === 'dumb') {
    const { watchInLines } = await import('../report/watch.ts')
    return watchInLines(look, (text) => stdout.write(text), { json, intervalMs, signal })
  }
  const { pageLines } = await import('../report/screen/pages.ts')
  const { watchOnScreen } = await import('../report/screen/watch-screen.ts')
  const { colour, unicode } = looks()
  const pages: WatchSources['pages'] = (page, forward, width) => pageLines(directory, page, forward, width)
  const report = await watchOnScreen(
    { look, pages },
    { intervalMs, signal, colour, unicode: unicode !== false, output: stdout, input: stdin },
  )
  // What was seen last stays on the terminal, as after a report that is printed once.
  return report === undefined ? exitCode.ok : print(report, options)
}

function looks() {
  return looksOf(process.stdout, process.env)
}

async function print(report: StatusReport, { json }: Options): Promise<number> {
  if (json === true) printJson(report)
  else {
    const { renderStatus } = await import('../report/render.ts')
    process.stdout.write(renderStatus(report, looks()))
  }
  return report.exitCode
}

function printJson(value: object): number {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
  return exitCode.ok
}

async function printLines(lines: readonly Line[]): Promise<number> {
  const { toText } = await import('../report/render.ts')
  process.stdout.write(toText(lines, looks()))
  return exitCode.ok
}

function watchIntervalMs({ watch }: Options): number {
  return typeof watch === 'object' && 'everyMs' in watch ? watch.everyMs : defaultWatchMs
}

function askedBehindWatch({ watch }: Options): string[] {
  return typeof watch === 'object' && 'asked' in watch ? [watch.asked] : []
}

/** A number alone could be a port as well as seconds: it is a time only where it cannot be anything else. */
function parseWatchWord(text: string): Parsed<WatchWord> {
  const isGlued = process.argv.includes(`--watch=${text}`) || process.argv.includes(`-w${text}`)
  const isNumber = /^\d+(?:\.\d+)?$/.test(text)
  if (!isGlued && isNumber && Number(text) > 0 && Number(text) <= 1000) {
    return {
      ok: false,
      problem: `"${text}" has no unit; use ${text}s, or put ${text} before --watch if it is a port`,
    }
  }
  if (!isGlued && !/^0$|^\d+(?:\.\d+)?[a-z]+$/.test(text)) return { ok: true, value: { asked: text } }
  const parsed = parseDuration(text)
  if (!parsed.ok) return parsed
  if (parsed.value >= shortestWatchMs) return { ok: true, value: { everyMs: parsed.value } }
  return { ok: false, problem: `"${text}" is too short; use at least ${shortestWatchMs}ms` }
}

function parseGoal(text: string) {
  const goal = waitGoals.find((known) => known === text)
  return goal === undefined
    ? { ok: false as const, problem: `"${text}" is not a goal of --wait; use ${waitGoals.join(' or ')}` }
    : { ok: true as const, value: goal }
}
