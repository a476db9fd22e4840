import { createHash } from 'node:crypto'

/**
 * A text that nobody may read in a log, a report or an error: a webhook's URL, a signing key. Whatever prints it (a template,
 * JSON, util.inspect) gets `[redacted]`; the text itself comes out of `reveal` alone.
 */
export class Secret {
  readonly #text: string
  /** Tells two secrets apart, in a comparison of configurations too, without telling them. */
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
