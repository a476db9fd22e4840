import { statSync } from 'node:fs'
import path from 'node:path'
import { printable } from '../os/printable.ts'
import { readTapRecords, type TapRecord, tapFiles } from '../record/shapes/gateway-tap.ts'

export interface TapFilter {
  readonly connector: string | undefined
  readonly client: string | undefined
}

/** `mcp-proxy tap`: the messages that the wire tap has written, as lines. */
export class TapReader {
  readonly #stateDirectory: string
  readonly #filter: TapFilter
  readonly #lineOf: (record: TapRecord) => string
  #last = 0
  /** The files as they were at the last look. */
  #seen = ''

  constructor(stateDirectory: string, filter: TapFilter, lineOf: (record: TapRecord) => string) {
    this.#stateDirectory = stateDirectory
    this.#filter = filter
    this.#lineOf = lineOf
  }

  /** The newest lines. */
  last(count: number): string {
    const records = this.#read().filter((record) => this.#isWanted(record))
    return (count === 0 ? [] : records.slice(-count)).map(this.#lineOf).join('')
  }

  /** What has been written since the last look. */
  more(): string {
    // It is asked often, and the files may be large.
    if (this.#stamp() === this.#seen) return ''
    const before = this.#last
    const records = this.#read().filter((record) => record.number > before && this.#isWanted(record))
    return records.map(this.#lineOf).join('')
  }

  #stamp(): string {
    return tapFiles
      .map((name) => statSync(path.join(this.#stateDirectory, name), { throwIfNoEntry: false }))
      .map((found) => `${found?.ino} ${found?.size} ${found?.mtimeMs}`)
      .join()
  }

  #read(): readonly TapRecord[] {
    // Before it is read: what is written meanwhile is read the next time.
    this.#seen = this.#stamp()
    const records = readTapRecords(this.#stateDirectory)
    this.#last = records.at(-1)?.number ?? this.#last
    return records
  }

  #isWanted({ connector, client }: TapRecord): boolean {
    const wanted = this.#filter
    const isOfConnector = wanted.connector === undefined || wanted.connector === connector
    return isOfConnector && (wanted.client === undefined || wanted.client === client)
  }
}

/** `12 16:30:00.123 → files tools/call (cursor) {"name":…}` @param width columns; the message is cut there. */
export function tapLine(
  { number, ts, direction, connector, method, client, ...rest }: TapRecord,
  width: number,
): string {
  const time = new Date(ts).toTimeString().slice(0, 8)
  const ms = ts.slice(19, 23)
  const sign = direction === 'to-server' ? '→' : '←'
  const who = client === null ? '' : ` (${client})`
  const took = rest.ms === undefined ? '' : ` ${rest.ms} ms`
  const told =
    rest.message === undefined ? `${rest.length ?? 0} characters` : JSON.stringify(shortened(rest.message))
  const line = `${number} ${time}${ms} ${sign} ${connector} ${method ?? 'answer'}${took}${who} ${told}`
  const shown = printable(line).replaceAll('\n', ' ')
  return `${shown.length > width ? `${shown.slice(0, width - 1)}…` : shown}\n`
}

/** What tells one message from another: parameters, result or error. */
function shortened(message: unknown): unknown {
  if (typeof message !== 'object' || message === null) return message
  const { params, result, error } = message as Readonly<Record<string, unknown>>
  return params ?? result ?? error ?? {}
}
