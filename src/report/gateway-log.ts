import path from 'node:path'
import { type LogLevel, localTime } from '../log/entry.ts'
import { type RingEntry, readRing } from '../log/ring-log.ts'
import { printable } from '../os/printable.ts'
import { fileNames } from '../record/state-directory.ts'

const ranks: Readonly<Record<string, number>> = { info: 0, warn: 1, error: 2 }
const colours: Readonly<Record<LogLevel, number>> = { info: 36, warn: 33, error: 31 }

/** `mcp-proxy log`: the lines of the ring, `2026-01-04 16:30:00.123 [INFO] text`. */
export class GatewayLogReader {
  readonly #file: string
  readonly #level: string
  readonly #colour: boolean
  readonly #json: boolean
  #sequence = 0
  hasAny = false

  /** @param level the least that is shown: `info`, `warn`, `error`. */
  constructor(stateDirectory: string, level: string, { colour, json }: { colour: boolean; json: boolean }) {
    this.#file = path.join(stateDirectory, fileNames.gatewayRing)
    this.#level = level
    this.#colour = colour
    this.#json = json
  }

  /** The newest lines. */
  last(count: number): string {
    const entries = this.#read()
    const worthy = entries.filter((entry) => this.#isWorthy(entry))
    return (count === 0 ? [] : worthy.slice(-count)).map((entry) => this.#line(entry)).join('')
  }

  /** What has been logged since the last look. */
  more(): string {
    const before = this.#sequence
    return this.#read()
      .filter((entry) => entry.sequence > before && this.#isWorthy(entry))
      .map((entry) => this.#line(entry))
      .join('')
  }

  #read(): readonly RingEntry[] {
    const entries = readRing(this.#file)
    this.hasAny ||= entries.length > 0
    this.#sequence = entries.at(-1)?.sequence ?? this.#sequence
    return entries
  }

  #isWorthy({ level }: RingEntry): boolean {
    return (ranks[level] ?? 0) >= (ranks[this.#level] ?? 0)
  }

  #line({ sequence, time, level, source, message }: RingEntry): string {
    if (this.#json) {
      const line = { sequence, ts: time, level: level.toUpperCase(), source, message }
      return `${JSON.stringify(line)}\n`
    }
    const date = new Date(time)
    const stamp = `${localTime(date)}.${String(date.getMilliseconds()).padStart(3, '0')}`
    const word = `[${level.toUpperCase()}]`
    const sign = this.#colour ? `\u001b[${colours[level]}m${word}\u001b[0m` : word
    return `${stamp} ${sign} ${printable(message).replaceAll('\n', '\n    ')}\n`
  }
}
