import { createHash } from 'node:crypto'

/**
 * A text that must not appear in a log, a report or an error: a webhook's URL, a signing key. Printing it (in a template, JSON or
 * util.inspect) gives `[redacted]`; only `reveal` returns the text.
 */
export class Secret {
  readonly #text: string
  /** Differs for different secrets, so that configurations can be compared; does not reveal them. */
  readonly fingerprint: string

  constructor(text: string) {
    this.#text = text
    this.fingerprint = createHash('sha256').update(text).digest('hex').slice(0, 12)
  }

  reveal(): string {
    return this.#text
  }

  toString(): string {
    return '[redacted]'
  }

  toJSON(): string {
    return '[redacted]'
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[redacted]'
  }
}
