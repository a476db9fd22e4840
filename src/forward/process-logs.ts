import path from 'node:path'
import type { ForwardOptions } from '../config/forward-options.ts'
import { entryLevel, formatForPeople } from '../log/entry.ts'
import { plainLog } from '../log/index.ts'
import { defaultLogLimits, isSameFile, LineLog } from '../log/line-log.ts'
import { LineOutput } from '../log/line-output.ts'
import { redactPatterns } from '../log/redaction.ts'
import { StandardOutput } from '../log/standard-output.ts'
import { wallTime } from '../os/clock.ts'
import { demandOwnDirectory, fileNames } from '../record/state-directory.ts'
import { type AccessLog, openAccessLog } from './access-log.ts'

/** The logs that one process of a forward writes: the forwarder's, and the access log. */
export class ProcessLogs {
  /** Undefined when nobody wants an access log. */
  readonly ended: AccessLog['write'] | undefined
  readonly #source: string
  readonly #lines: LineLog
  readonly #access: LineLog | undefined
  /** Undefined when stdout leads to the log. Else people read there, too: at a terminal, for example. */
  readonly #printed: LineOutput | undefined
  readonly #output: StandardOutput
  readonly #accessLog: string
  readonly #tells: boolean
  /** Whether the log says by now that the access log cannot be written. */
  #isAccessLogFailing = false

  /** @param tells false = another process of the forward tells whether the access log can be written. */
  constructor({ listenPort, accessLog }: ForwardOptions, stateDirectory: string, tells = true) {
    const file = path.join(stateDirectory, fileNames.forwarderLog(listenPort))
    this.#source = String(listenPort)
    this.#lines = new LineLog(file, {
      ...defaultLogLimits,
      demandDirectory: demandOwnDirectory,
      remembered: 1000,
    })
    this.#printed = isSameFile(1, file) ? undefined : new LineOutput(process.stdout)
    this.#output = new StandardOutput(file)
    const access = openAccessLog(accessLog, this.#printed ?? this.#lines)
    this.#access = access?.file
    this.#accessLog = accessLog
    this.#tells = tells
    this.ended =
      access &&
      ((record) => {
        access.write(record)
        this.#tellAccessLog()
      })
    this.#access?.tryNow()
    this.#tellAccessLog()
  }

  /** What a person should know of these logs, in words. */
  warnings(): readonly string[] {
    const problem = this.#access?.problem
    return problem === undefined ? [] : [`the access log cannot be written: ${problem}`]
  }

  /** Says once that the access log cannot be written, and once that it can again. */
  #tellAccessLog(): void {
    const problem = this.#access?.problem
    const isFailing = problem !== undefined
    if (isFailing === this.#isAccessLogFailing) return
    this.#isAccessLogFailing = isFailing
    if (!this.#tells) return
    const which = `The access log ${this.#accessLog}`
    if (isFailing) this.log.warn(`${which} cannot be written: ${problem}; its lines are lost until it can`)
    else this.log.info({ good: true }, `${which} is written again`)
  }

  readonly log = plainLog((level, text, { good = false }) => {
    const message = redactPatterns(text)
    const line = formatForPeople({
      time: wallTime(),
      level: entryLevel(level),
      source: this.#source,
      message,
      good,
    })
    this.#lines.write(line)
    this.#printed?.write(line)
  })

  /** Begins anew what was removed or got another name. @returns what was, in words. */
  look(): readonly string[] {
    const begun = []
    if (this.#lines.look()) begun.push('log')
    if (this.#access?.look() === true) begun.push('access log')
    if (this.#access?.problem !== undefined) this.#access.tryNow()
    this.#tellAccessLog()
    this.#output.follow()
    return begun
  }

  /** As `LineLog.reopen`, for all of them. */
  reopen(): void {
    this.#lines.reopen()
    this.#access?.reopen()
    this.#output.follow()
  }
}
