/**
 * tap/: the wire tap. While it is on, each message between the gateway and its connectors is written to a file, as it was, with its secrets
 * masked. While it is off, a message costs one look at `isOn`.
 *
 *   Wire -> tapped.ts -> Tap (this file) -> one line of JSON in the state directory -> report/gateway-tap.ts -> `mcp-proxy tap`, `mcp-proxy replay`
 *
 * What else is to be seen of a message is a field of `TapRecord` (record/shapes/gateway-tap.ts) that tapped.ts fills.
 */
import path from 'node:path'
import { LineLog, type LogLimits } from '../../log/line-log.ts'
import { masked } from '../../log/redaction.ts'
import { wallTime } from '../../os/clock.ts'
import { readTapRecords, type TapRecord, tapFiles } from '../../record/shapes/gateway-tap.ts'

/** The file, and the one before it. */
const limits: LogLimits = { maxBytes: 8 * 1024 * 1024, keep: 1, compress: false }

/** Characters of a message beyond which only its length is written. */
const longest = 256 * 1024

export class Tap {
  /** Whether messages are written now. */
  isOn = false
  readonly #stateDirectory: string
  readonly #log: LineLog
  #number: number | undefined
  /** The configuration wants it on. */
  #isConfigured = false
  #leased: NodeJS.Timeout | undefined

  constructor(stateDirectory: string, demandDirectory: (directory: string) => void) {
    this.#stateDirectory = stateDirectory
    this.#log = new LineLog(path.join(stateDirectory, tapFiles[0]), { ...limits, demandDirectory }, null)
  }

  /** What the configuration says. */
  configure(isOn: boolean): void {
    this.#isConfigured = isOn
    this.isOn = isOn || this.#leased !== undefined
  }

  /** On for so many ms more: somebody is watching. 0 = he no longer is. */
  watch(forMs: number): void {
    clearTimeout(this.#leased)
    this.#leased = undefined
    if (forMs > 0) {
      this.#leased = setTimeout(() => this.watch(0), forMs)
      this.#leased.unref()
    }
    this.isOn = this.#isConfigured || forMs > 0
  }

  /** Writes one message. @param text of the message; what is no JSON is written as its length alone. */
  write(record: Omit<TapRecord, 'number' | 'ts' | 'message' | 'length'>, text: string): void {
    this.#number ??= readTapRecords(this.#stateDirectory).at(-1)?.number ?? 0
    const message = text.length > longest ? undefined : parsed(text)
    const told = message === undefined ? { length: text.length } : { message: masked(message) }
    this.#log.write(JSON.stringify({ number: ++this.#number, ts: wallTime(), ...record, ...told }))
  }

  close(): void {
    this.watch(0)
    this.isOn = false
    this.#log.close()
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
