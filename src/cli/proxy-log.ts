#!/usr/bin/env node
import { parseCount } from '../config/values.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { printable } from '../os/printable.ts'
import { readJournal } from '../record/journal.ts'
import type { LogEntry, LogLevel } from '../record/log-entry.ts'
import { readersDirectory } from '../record/state-directory.ts'
import { LogFollower, onChange } from '../report/log-follower.ts'
import { isWorthy, readLogs } from '../report/log-reader.ts'
import { chooseSources, type LogSource, logSources } from '../report/log-source.ts'
import { demandReadable, unreadableLogs } from '../report/readable.ts'
import { type LogStyle, renderEntry } from '../report/render-log.ts'
import { parseSince } from '../report/since.ts'
import { wantsColour } from '../report/terminal.ts'
import { renderWhy, whyRestarted } from '../report/why.ts'
import { argument, newCommand, program, runIfStarted } from './command.ts'

interface Options {
  tail?: number
  level: LogLevel
  follow?: boolean
  since?: string
  json?: boolean
  color: boolean
  why?: string
  stateDir?: string
}

/** Entries shown when nobody says how many. */
const defaultTail = 50

const levels: readonly LogLevel[] = ['info', 'warn', 'error']

const command = newCommand('proxy-log', 'Show the logs of the monitor and of the forwards. Reads only.')
  .argument('[NAME|PORT]', '"monitor", or a forward by name or port (default: all logs, merged by time)')
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
  .option('-f, --follow', 'go on with new entries as they come')
  .option('--why <NAME|PORT>', 'tell the story of the last restart of a forward, and nothing else')
  .option('--json', 'one JSON object a line')
  .option('--no-color', 'no colours (also: NO_COLOR set, or not on a terminal)')
  .option(
    '--state-dir <DIR>',
    'where the monitor keeps its records (default: looked for in the usual places)',
  )
  .addHelpText(
    'after',
    `
Signs: ✓ good news, • information, ! warning, ✗ error.
Exit codes: 0 printed, 64 usage, 66 there is no such state directory, 77 no permission to read it.

Examples:
  proxy-log                            the last ${defaultTail} entries of everything
  proxy-log monitor --level error      what the monitor says went wrong
  proxy-log 6277 --since 2h
  proxy-log --why 6277                 what happened, what was done and why
  proxy-log --follow --json | jq .message`,
  )

export const proxyLog = program(command, (asked: string | undefined, options: Options) => {
  const directory = readersDirectory(options.stateDir)
  demandReadable(directory)
  if (options.why !== undefined) return tellWhy(directory, options.why, options)
  const find = () => logSources(directory)
  const sources = chooseSources(find(), asked)
  return options.follow === true
    ? follow(directory, asked === undefined ? find : () => sources, options)
    : show(directory, sources, options)
})

await runIfStarted(import.meta.url, proxyLog)

function show(directory: string, sources: readonly LogSource[], options: Options): number {
  const hidden = unreadableLogs(sources)
  for (const { file } of hidden)
    process.stderr.write(`proxy-log: ${file} cannot be read: permission denied\n`)
  const entries = readLogs(sources, query(options))
  print(entries, styleOf(sources, options))
  if (sources.length > 0 && hidden.length === sources.length) return exitCode.noPermission
  if (sources.length === 0) process.stderr.write(`proxy-log: nothing has been logged in ${directory} yet\n`)
  else if (entries.length === 0) process.stderr.write('proxy-log: no such entries\n')
  return exitCode.ok
}

async function tellWhy(directory: string, asked: string, { json }: Options): Promise<number> {
  const now = { time: wallTime(), monotonicMs: monotonicMs(), bootId: bootId() }
  const why = whyRestarted(await readJournal(directory), asked, now)
  if (why.kind === 'unknown-forward') {
    const known = why.known.length === 0 ? 'it names no forward yet' : `it names ${why.known.join(', ')}`
    throw new Failure(`the journal knows no forward "${asked}"; ${known}`, exitCode.usage)
  }
  process.stdout.write(json === true ? `${JSON.stringify(why)}\n` : printable(renderWhy(why)))
  return exitCode.ok
}

/** Ends quietly when the reader goes away or on SIGINT or SIGTERM. */
async function follow(
  directory: string,
  find: () => readonly LogSource[],
  options: Options,
): Promise<number> {
  const ended = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort())
  process.stdout.once('error', () => ended.abort())
  const follower = new LogFollower(find)
  const sources = find()
  const style = styleOf(sources, options)
  print(readLogs(sources, query(options), follower.positions), style)
  const look = () =>
    print(
      follower.read().filter((entry) => isWorthy(entry, options.level)),
      style,
    )
  await new Promise<void>((resolve) => {
    ended.signal.addEventListener('abort', () => resolve())
    onChange(directory, ended.signal, look)
    look()
  })
  follower.close()
  return exitCode.ok
}

function query({ tail, level, since }: Options) {
  return { tail: tail ?? (since === undefined ? defaultTail : 0), level, since }
}

function styleOf(sources: readonly LogSource[], { json, color }: Options): LogStyle {
  return {
    json: json === true,
    colour: color && wantsColour(process.stdout, process.env),
    sourceWidth: sources.length === 1 ? 0 : Math.max(0, ...sources.map(({ name }) => name.length)),
  }
}

function print(entries: readonly LogEntry[], style: LogStyle): void {
  if (entries.length > 0) process.stdout.write(entries.map((entry) => renderEntry(entry, style)).join(''))
}

function parseLevel(text: string) {
  const level = levels.find((known) => known === text)
  return level === undefined
    ? { ok: false as const, problem: `"${text}" is no level; write ${levels.join(', ')}` }
    : { ok: true as const, value: level }
}
