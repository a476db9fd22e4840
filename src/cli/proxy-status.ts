#!/usr/bin/env node
import { type Parsed, parseDuration } from '../config/values.ts'
import { preciseDuration } from '../os/duration.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { localTime } from '../record/log-entry.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { assess } from '../report/assess.ts'
import { gather } from '../report/gather.ts'
import { gatherHistory } from '../report/gather-history.ts'
import { demandReadable } from '../report/readable.ts'
import { renderStatus } from '../report/render.ts'
import { renderHistory } from '../report/render-history.ts'
import type { StatusReport } from '../report/status.ts'
import { rowsOf, wantsColour, widthOf } from '../report/terminal.ts'
import { cut } from '../report/text.ts'
import { isReached, timedOut, type WaitGoal, waitGoals, whatIsMissing } from '../report/wait.ts'
import { lookAgain, type Screen, watchInLines, watchOnTerminal } from '../report/watch.ts'
import { argument, newCommand, program, runIfStarted } from './command.ts'

interface Options {
  json?: boolean
  watch?: true | WatchWord
  wait?: WaitGoal
  timeout?: number
  history?: boolean
  stateDir?: string
}

/** What follows --watch: a time in ms, or, because the time may be left out, a forward. */
type WatchWord = { readonly everyMs: number } | { readonly asked: string }

/** ms between two looks of --watch at least. */
const shortestWatchMs = 100

/** ms between two looks of --watch when it does not say. */
const defaultWatchMs = 2000

/** ms between two looks of --wait: a look takes a few. */
const waitLookMs = 200

/** ms that --wait waits when it does not say. */
const defaultTimeoutMs = 30_000

const command = newCommand('proxy-status', 'Say how the forwards and their monitor are. Reads only.')
  .argument('[NAME|PORT...]', 'only these forwards, with all there is to know of them')
  .option('--json', 'one JSON object and nothing else (schema/status.schema.json); with --watch one a line')
  .option(
    '--watch [TIME]',
    'look again and again (default: every 2s; TIME with its unit); not on a terminal: a line for every change',
    argument(parseWatchWord),
  )
  .option('--wait <GOAL>', 'wait until the forwards are "running" or "healthy"', argument(parseGoal))
  .option('--timeout <TIME>', 'how long --wait waits (default: 30s; 0 = for ever)', argument(parseDuration))
  .option('--history', 'availability, failures and time to recovery of the last days and weeks')
  .option(
    '--state-dir <DIR>',
    'where the monitor keeps its records (default: looked for in the usual places)',
  )
  .addHelpText(
    'after',
    `
Exit codes: 0 all is well · 1 the monitor died or hangs · 3 no monitor runs · 4 its records cannot be used
            150 somebody cannot get through · 151 not all is as it should be · 124 --wait took too long · 64 usage
            with --history: 66 there is no such state directory · 77 no permission to read it

Examples:
  proxy-status 6277                             what is wrong with it, and what to do
  proxy-status --watch
  proxy-status --wait healthy --timeout 30s && open http://localhost:6274
  proxy-status --history 6277                   how often did it fail this week`,
  )

export const proxyStatus = program(command, async (words: string[], options: Options) => {
  const asked = [...words, ...askedBehindWatch(options)]
  const directory = readersDirectory(options.stateDir)
  if (options.history === true) {
    demandReadable(directory)
    return printHistory(directory, asked, options)
  }
  const look = async () => assess(await gather(directory, { asked }))
  if (options.wait !== undefined) return waitFor(options.wait, look, options)
  if (options.timeout !== undefined) throw new Failure('--timeout goes with --wait', exitCode.usage)
  if (options.watch !== undefined) return watch(look, options)
  return print(await look(), options)
})

await runIfStarted(import.meta.url, proxyStatus)

async function printHistory(directory: string, asked: readonly string[], options: Options): Promise<number> {
  const history = await gatherHistory(directory, asked)
  process.stdout.write(
    options.json === true ? `${JSON.stringify(history, null, 2)}\n` : renderHistory(history, width()),
  )
  return exitCode.ok
}

async function waitFor(goal: WaitGoal, look: () => Promise<StatusReport>, options: Options): Promise<number> {
  const { signal } = endedBySignals()
  const report = await lookAgain(look, (seen) => isReached(goal, seen), {
    intervalMs: waitLookMs,
    timeoutMs: options.timeout ?? defaultTimeoutMs,
    signal,
  })
  print(report, options)
  if (isReached(goal, report)) return exitCode.ok
  process.stderr.write(`proxy-status: not ${goal} in time: ${whatIsMissing(goal, report)}\n`)
  return timedOut
}

function watch(look: () => Promise<StatusReport>, options: Options): Promise<number> {
  const { signal } = endedBySignals()
  const intervalMs = watchIntervalMs(options)
  const json = options.json === true
  if (!process.stdout.isTTY || json) {
    return watchInLines(look, (text) => process.stdout.write(text), { json, intervalMs, signal })
  }
  const colour = wantsColour(process.stdout, process.env)
  const screen: Screen = {
    write: (text) => process.stdout.write(text),
    rows: () => rowsOf(process.stdout),
    onResize: (redraw) => process.stdout.on('resize', redraw),
  }
  const render = (report: StatusReport) => {
    const looked = `last look ${localTime(new Date(report.takenAt)).slice(11)}, every ${preciseDuration(intervalMs)}; Ctrl-C ends`
    return `${cut(looked, width())}\n${renderStatus(report, { colour, width: width() })}`
  }
  return watchOnTerminal(look, render, screen, { intervalMs, signal })
}

/** Aborted by SIGINT, SIGTERM, and a reader that goes away. */
function endedBySignals(): AbortController {
  const ended = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort())
  process.stdout.once('error', () => ended.abort())
  return ended
}

function width(): number {
  return widthOf(process.stdout)
}

function print(report: StatusReport, { json }: Options): number {
  const colour = wantsColour(process.stdout, process.env)
  process.stdout.write(
    json === true ? `${JSON.stringify(report, null, 2)}\n` : renderStatus(report, { colour, width: width() }),
  )
  return report.exitCode
}

function watchIntervalMs({ watch }: Options): number {
  return typeof watch === 'object' && 'everyMs' in watch ? watch.everyMs : defaultWatchMs
}

function askedBehindWatch({ watch }: Options): string[] {
  return typeof watch === 'object' && 'asked' in watch ? [watch.asked] : []
}

/** A number alone could be a port as well as seconds: it is a time only where it cannot be anything else. */
function parseWatchWord(text: string): Parsed<WatchWord> {
  const isGlued = process.argv.includes(`--watch=${text}`)
  const isNumber = /^\d+(?:\.\d+)?$/.test(text)
  if (!isGlued && isNumber && Number(text) > 0 && Number(text) <= 1000) {
    return {
      ok: false,
      problem: `"${text}" has no unit; write ${text}s, or ${text} before --watch when it is a port`,
    }
  }
  if (!isGlued && !/^0$|^\d+(?:\.\d+)?[a-z]+$/.test(text)) return { ok: true, value: { asked: text } }
  const parsed = parseDuration(text)
  if (!parsed.ok) return parsed
  if (parsed.value >= shortestWatchMs) return { ok: true, value: { everyMs: parsed.value } }
  return { ok: false, problem: `"${text}" is too short; at least ${shortestWatchMs}ms lie between two looks` }
}

function parseGoal(text: string) {
  const goal = waitGoals.find((known) => known === text)
  return goal === undefined
    ? { ok: false as const, problem: `"${text}" cannot be waited for; write ${waitGoals.join(' or ')}` }
    : { ok: true as const, value: goal }
}
