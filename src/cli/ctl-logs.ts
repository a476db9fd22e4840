/** The commands of `proxy-ctl` about what programs print: logs, search-logs. */
import { Option } from 'commander'
import { type Parsed, parseCount, parseDuration } from '../config/values.ts'
import type { CountsOutput } from '../orders/log-count-order.ts'
import type { LogsOutput } from '../orders/log-orders.ts'
import { argument, type Program } from './command.ts'
import { followOrder, type OrderOptions, order, print, subcommand } from './ctl-command.ts'

interface LogOptions extends OrderOptions {
  readonly tail?: number
  readonly since?: string
  readonly until?: string
  readonly class?: readonly string[]
  readonly stream?: string
  readonly grep?: string
  readonly contains?: string
  readonly before?: number
  readonly after?: number
  readonly cursor?: string
  readonly maxBytes?: number
  readonly follow?: boolean
  readonly timeout?: number
  readonly in?: readonly string[]
  readonly top?: number
  readonly window?: string
}

const classes = argument((text: string): Parsed<readonly string[]> => {
  const names = text.split(',').filter((name) => name !== '')
  return names.length === 0 ? { ok: false, problem: 'name a class' } : { ok: true, value: names }
})

/** Bytes for a person: what agents get by default is a page. */
const personBytes = 4 * 1024 * 1024

const logsProgram: Program = {
  command: subcommand('logs', 'Show what programs printed, or keep on showing what they print.')
    .argument('[PROGRAM...]', 'only these programs (default: all)')
    .option('-n, --tail <N>', 'the newest N lines; 0 = all (default: 100)', argument(parseCount))
    .option('-f, --follow', 'keep running and print new lines as they come')
    .option('--since <TIME>', 'lines since 10m, 2h, 3d, or a date or time (ISO 8601)')
    .option('--until <TIME>', 'lines before that time')
    .option(
      '-c, --class <CLASS,...>',
      'lines of these classes: error, warning, info, debug, your own',
      classes,
    )
    .option('--contains <TEXT>', 'lines with this text')
    .option('-g, --grep <REGEX>', 'lines that match this expression (RE2 syntax)')
    .addOption(
      new Option('--stream <STREAM>', 'lines of this stream').choices(['stdout', 'stderr', 'watchdog']),
    )
    .option('-B, --before <N>', 'show N lines before each that matches', argument(parseCount))
    .option('-A, --after <N>', 'show N lines after each that matches', argument(parseCount))
    .option('--cursor <CURSOR>', 'lines after this cursor, which a JSON answer has')
    .option('--max-bytes <N>', 'bytes of text at most', argument(parseCount))
    .option('--timeout <TIME>', 'with --follow: how long (default: until Ctrl-C)', argument(parseDuration)),
  run: async (units: string[], options: LogOptions) => {
    const { tail, since, until, stream, grep, contains, before, after, cursor, json } = options
    const { maxBytes, follow, timeout } = options
    const filter = { units, class: options.class, stream, contains, regex: grep }
    const { linePrinter, logsText } = await import('./ctl-log-output.ts')
    if (follow === true) {
      const input = { ...filter, tail: tail ?? 10, forMs: timeout }
      return followOrder(options, 'follow-logs', input, timeout, linePrinter(json === true, units))
    }
    const room = maxBytes ?? (json === true ? undefined : personBytes)
    const input = { ...filter, cursor, tail, since, until, before, after, maxBytes: room }
    const answer = await order(options, 'logs', input, searchTakesMs)
    return print(answer, options, (output: LogsOutput) => logsText(output, units))
  },
}

const searchProgram: Program = {
  command: subcommand('search-logs', 'Find the lines that fit some words best in what programs printed.')
    .argument('<WORD...>', 'words to look for; a line needs only one of them')
    .option('--in <PROGRAM...>', 'only these programs (default: all)')
    .option('-n, --top <N>', 'how many lines to show (default: 20)', argument(parseCount))
    .option('--since <TIME>', 'lines since 10m, 2h, 3d, or a date or time (ISO 8601)')
    .option('-c, --class <CLASS,...>', 'lines of these classes', classes),
  run: async (words: string[], options: LogOptions) => {
    const { top, since, in: units } = options
    const input = { words: words.join(' '), units, top, since, class: options.class }
    const answer = await order(options, 'search-logs', input, searchTakesMs)
    const { searchText } = await import('./ctl-log-output.ts')
    return print(answer, options, searchText)
  },
}

const countsProgram: Program = {
  command: subcommand('log-counts', 'Count the lines of each class that programs printed.')
    .argument('[PROGRAM...]', 'only these programs (default: all)')
    .option('--window <TIME>', 'how far back the recent ones reach, 10m at most (default: 1m)'),
  run: async (units: string[], options: LogOptions) => {
    const answer = await order(options, 'log-counts', { units, window: options.window })
    const { countsText } = await import('./ctl-log-output.ts')
    return print(answer, options, (output: CountsOutput) => countsText(output, options.window ?? '1m'))
  },
}

export const logPrograms: readonly Program[] = [logsProgram, searchProgram, countsProgram]

/** ms that reading everything may take. */
const searchTakesMs = 60_000
