import path from 'node:path'
import { LineLog, type LogLimits } from '../log/line-log.ts'
import { wallTime } from '../os/clock.ts'
import { readRegularFile } from '../os/regular-file.ts'
import type { Actor } from './shapes/journal.ts'
import { demandOwnDirectory, fileNames } from './state-directory.ts'

/** Who has asked for what, from where, and what came of it. */
export interface AuditEntry {
  readonly actor: Actor
  /** The id of the API key; null = the owner of the monitor, or nobody who is known. */
  readonly key: string | null
  /** An IP address; null = this machine, over the control socket. */
  readonly from: string | null
  /** The order; null = the request was refused before it named one. */
  readonly order: string | null
  /** The units that it named. */
  readonly units: readonly string[]
  /** What it asked for, without secrets. */
  readonly input?: unknown
  /** `refused`: nothing was done, because the caller may not. */
  readonly outcome: 'done' | 'failed' | 'refused'
  /** Why not, in a stable word; null when it was done. */
  readonly code: string | null
  readonly message: string | null
  /** Refusals of the same kind before this one that got no line of their own; missing = none. */
  readonly suppressed?: number
}

/** A rotation renames; the oldest of eleven files of 4 MiB falls out, which the numbers of the lines show. */
const auditLimits: LogLimits = {
  maxBytes: 4 * 1024 * 1024,
  keep: 10,
  compress: false,
  remembered: 1000,
  demandDirectory: demandOwnDirectory,
}

const lossLine = (lost: number) => JSON.stringify({ time: wallTime(), event: 'lost', count: lost })

/**
 * The audit, `audit.jsonl`: one object a line, which is only appended to. No order reads it. `seq` rises by one with every line, also over
 * restarts of the monitor, so that a line that is missing is seen.
 */
export class AuditLog {
  readonly #file: string
  readonly #log: LineLog
  #seq: number | undefined

  constructor(stateDirectory: string, limits: LogLimits = auditLimits) {
    this.#file = path.join(stateDirectory, fileNames.audit)
    this.#log = new LineLog(this.#file, limits, lossLine)
  }

  /** A disk that is full stops no order: what waits is written later, what is lost is counted in the file. */
  write(entry: AuditEntry): void {
    this.#seq ??= this.#lastSeq()
    this.#log.write(JSON.stringify({ seq: ++this.#seq, time: wallTime(), ...entry }))
  }

  /** As `LineLog.look`. */
  look(): boolean {
    return this.#log.look()
  }

  /** As `LineLog.reopen`. */
  reopen(): void {
    this.#log.reopen()
  }

  #lastSeq(): number {
    for (const file of [this.#file, `${this.#file}.1`]) {
      const seq = lastSeqIn(file)
      if (seq !== undefined) return seq
    }
    return 0
  }
}

function lastSeqIn(file: string): number | undefined {
  try {
    for (const line of readRegularFile(file).split('\n').reverse()) {
      const seq = /^\{"seq":(\d+),/.exec(line)?.[1]
      if (seq !== undefined) return Number(seq)
    }
  } catch {
    // There is none yet.
  }
  return undefined
}
