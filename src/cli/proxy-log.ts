import { existsSync } from 'node:fs'
import path from 'node:path'
import { parseCount } from '../config/values.ts'
import type { LogEntry, LogLevel } from '../log/entry.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { printable } from '../os/printable.ts'
import { copiesOf } from '../record/copies.ts'
import { readJournal } from '../record/journal.ts'
import { fileNames } from '../record/state-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { LogFollower, onChange } from '../report/log-follower.ts'
import { isWorthy, readLogs } from '../report/log-reader.ts'
import { chooseSources, type LogSource, logSources } from '../report/log-source.ts'
import { demandReadable, unreadableLogs } from '../report/readable.ts'
import { type RenderOptions, toText } from '../report/render.ts'
import { jsonEntry, LogLines, plainEntry, storyLines } from '../report/render-log.ts'
import { parseSince } from '../report/since.ts'
import { looksOf, widthOf } from '../report/terminal.ts'
import { renderWhy, whyRestarted } from '../report/why.ts'
import { argument, newCommand, program } from './command.ts'
import type { ProgramLog } from './program-log.ts'
import { endOfReading } from './run.ts'

interface Options {
  tail?: number
  level: LogLevel
  follow?: boolean
  since?: string
  json?: boolean
  ms?: boolean
  color: boolean
  why?: string
  stateDir?: string
}

/** ms between two looks at a program that prints all the time. */
const followEveryMs = 250

/** Entries shown when nobody says how many. */
const defaultTail = 50

/** Every word for a level, in any case. */
const levels: Readonly<Record<string, LogLevel>> = {
  info: 'info',
  warn: 'warn',
  warning: 'warn',
  error: 'error',
  err: 'error',
}

const command = newCommand(
  'proxy-log',
  'Show the logs of the monitor and of the forwards, or what a program printed (read-only).',
)
  .argument(
    '[UNIT]',
    'a forward by name or port, a program, or "monitor" (default: monitor and forwards, merged by time)',
  )
  .optionsGroup('What to show:')
  .option(
    '-n, --tail <N>',
    `the newest N entries; 0 = all (default: ${defaultTail}, all with --since)`,
    argument(parseCount),
  )
  .option(
    '--level <LEVEL>',
    'entries of this level and worse: info, warn or error',
    argument(parseLevel),
    'info',
  )
  .option('--since <TIME>', 'entries since 10m, 2h, 3d, or a date or time (ISO 8601)', argument(parseSince))
  .option('-f, --follow', 'keep running and print new entries as they come')
  .option('-w, --why <UNIT>', 'tell why a forward or program was last restarted, and nothing else')
  .optionsGroup('How to show it:')
  .option('-j, --json', 'print one JSON object per line')
  .option('--ms', 'show milliseconds on a terminal')
  .option('--no-color', 'no colours (also: NO_COLOR is set, or not a terminal)')
  .optionsGroup('Where to look:')
  .option('--state-dir <DIR>', 'the state directory of the monitor (default: looks in the usual places)')
  .addHelpText(
    'after',
    `
Signs: ✓ good news, • information, ! warning, ✗ error
On a terminal, lines are wrapped and the date is shown once a day; elsewhere each line has its full time.

Exit codes:
  0   printed
  64  invalid arguments
  66  the state directory does not exist
  77  no permission to read it

Examples:
  proxy-log                            the last ${defaultTail} entries of everything
  proxy-log monitor --level error      what the monitor reported as errors
  proxy-log web --since 2h
  proxy-log app --follow               what the program app prints
  proxy-log --why web                  what happened, what was done and why
  proxy-log --follow --json | jq .message

Manual: man proxy-log`,
  )

export const proxyLog = program(command, async (asked: string | undefined, options: Options) => {
  const directory = readersDirectory(options.stateDir)
  demandReadable(directory)
  if (options.why !== undefined) return tellWhy(directory, options.why, options)
  const find = () => logSources(directory)
  const programs = asked === undefined ? [] : await programLogs(directory, asked, find(), options)
  if (programs.length > 0) return showPrograms(directory, programs, options)
  const sources = chooseSources(find(), asked)
  return options.follow === true
    ? follow(directory, asked === undefined ? find : () => sources, options)
    : show(directory, sources, options)
})

export const start = proxyLog.runWith

function show(directory: string, sources: readonly LogSource[], options: Options): number {
  const hidden = unreadableLogs(sources)
  for (const { file } of hidden)
    process.stderr.write(`proxy-log: ${file} cannot be read: permission denied\n`)
  const entries = readLogs(sources, query(options))
  printer(widthOfNames(sources), options)(entries)
  if (sources.length > 0 && hidden.length === sources.length) return exitCode.noPermission
  if (sources.length === 0) process.stderr.write(`proxy-log: nothing has been logged in ${directory} yet\n`)
  else if (entries.length === 0) process.stderr.write('proxy-log: no entries match\n')
  return exitCode.ok
}

/** The output of a program of this name, or of each of its copies; empty = there is none, or the name is a forward's. */
async function programLogs(
  directory: string,
  asked: string,
  sources: readonly LogSource[],
  { level }: Options,
): Promise<readonly ProgramLog[]> {
  if (sources.some(({ name, port }) => name === asked || String(port) === asked)) return []
  const isThere = (name: string) =>
    /^[\w.-]+$/.test(name) && existsSync(path.join(directory, fileNames.programIndex(name)))
  const copies = copiesOf(directory, asked).filter(isThere)
  // A program that had no copies before has left a log of its own.
  const names = copies.length > 0 ? copies : [asked].filter(isThere)
  if (names.length === 0) return []
  const { ProgramLog } = await import('./program-log.ts')
  return names.map((name) => new ProgramLog(directory, name, level))
}

async function showPrograms(
  directory: string,
  logs: readonly ProgramLog[],
  options: Options,
): Promise<number> {
  const print = printer(logs.length === 1 ? 0 : Math.max(...logs.map(({ name }) => name.length)), options)
  const { tail, since } = query(options)
  const inOrder = (entries: readonly LogEntry[]) =>
    logs.length === 1 ? entries : entries.toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
  const entries = inOrder(logs.flatMap((log) => log.read(tail, since))).slice(-tail)
  const ended = options.follow === true ? endOfReading() : undefined
  print(entries)
  if (ended !== undefined) {
    // Each line that is printed changes the directory.
    let lookedAt = 0
    await untilEnded(ended, directory, () => {
      const now = performance.now()
      if (now - lookedAt < followEveryMs) return
      lookedAt = now
      print(inOrder(logs.flatMap((log) => log.more())))
    })
  }
  if (options.follow !== true && entries.length === 0) process.stderr.write('proxy-log: no entries match\n')
  return exitCode.ok
}

async function tellWhy(directory: string, asked: string, { json, color }: Options): Promise<number> {
  const now = { time: wallTime(), monotonicMs: monotonicMs(), bootId: bootId() }
  const why = whyRestarted(await readJournal(directory), asked, now)
  if (why.kind === 'unknown-forward') {
    const copies = copiesOf(directory, asked)
    if (copies.length > 0)
      throw new Failure(`${asked} runs as ${copies.join(', ')}: name one of them`, exitCode.usage)
    const known = why.known.length === 0 ? 'it has none yet' : `it has ${why.known.join(', ')}`
    throw new Failure(`the journal has no forward or program "${asked}"; ${known}`, exitCode.usage)
  }
  if (json === true) process.stdout.write(`${JSON.stringify(why)}\n`)
  else if (!process.stdout.isTTY) process.stdout.write(printable(renderWhy(why)))
  else process.stdout.write(toText(storyLines(renderWhy(why), widthOf(process.stdout)), looks(color)))
  return exitCode.ok
}

/** Ends quietly when the reader goes away or on SIGINT or SIGTERM. */
async function follow(
  directory: string,
  find: () => readonly LogSource[],
  options: Options,
): Promise<number> {
  const follower = new LogFollower(find)
  const sources = find()
  const print = printer(widthOfNames(sources), options)
  const ended = endOfReading()
  print(readLogs(sources, query(options), follower.positions))
  await untilEnded(ended, directory, () =>
    print(follower.read().filter((entry) => isWorthy(entry, options.level))),
  )
  follower.close()
  return exitCode.ok
}

/** Looks at every change of the directory until `ended` is aborted. */
async function untilEnded(ended: AbortSignal, directory: string, look: () => void): Promise<void> {
  if (ended.aborted) return
  await new Promise<void>((resolve) => {
    ended.addEventListener('abort', () => resolve())
    onChange(directory, ended, look)
    look()
  })
}

/** Columns for the name of who speaks; none where only one does. */
function widthOfNames(sources: readonly LogSource[]): number {
  return sources.length === 1 ? 0 : Math.max(0, ...sources.map(({ name }) => name.length))
}

function query({ tail, level, since }: Options) {
  return { tail: tail ?? (since === undefined ? defaultTail : 0), level, since }
}

/** Prints entries one after the other, in the way that suits the reader. */
function printer(sourceWidth: number, { json, color, ms }: Options): (entries: readonly LogEntry[]) => void {
  const write = (text: string) => void (text !== '' && process.stdout.write(text))
  if (json === true) return (entries) => write(entries.map(jsonEntry).join(''))
  if (!process.stdout.isTTY) {
    return (entries) => write(entries.map((entry) => plainEntry(entry, sourceWidth)).join(''))
  }
  const layout = () => ({ width: widthOf(process.stdout), sourceWidth, milliseconds: ms === true })
  const lines = new LogLines(layout)
  return (entries) => write(toText(lines.lines(entries), looks(color)))
}

function looks(color: boolean): RenderOptions {
  const wanted = looksOf(process.stdout, process.env)
  return { ...wanted, colour: color && wanted.colour }
}

function parseLevel(text: string) {
  const level = levels[text.toLowerCase()]
  return level === undefined
    ? { ok: false as const, problem: `unknown level "${text}"; use info, warn or error` }
    : { ok: true as const, value: level }
}
