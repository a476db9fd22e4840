import { oneLine } from '../os/printable.ts'

/** What came of one try to deliver. */
export type Outcome =
  /** @property pauseMs how long the receiver wants to be left alone. 0 = not at all. */
  | { readonly kind: 'delivered'; readonly pauseMs: number }
  /** Worth another try. `afterMs` is the receiver's own wish; undefined = when our back-off says. */
  | { readonly kind: 'retry'; readonly why: string; readonly afterMs: number | undefined }
  /** Will never work as it is configured. */
  | { readonly kind: 'refused'; readonly why: string }

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Its beginning. */
  readonly body: string
}

/** The longest wait that a receiver is granted: a wrong header must not silence a channel for a year. */
export const longestPauseMs = 6 * 3_600_000

/**
 * Says what an answer means. 2xx: delivered. 429: again when the receiver says. 408 and 5xx: again later. Other 4xx and redirects
 * (the secret would go to another place): never.
 * @param wallMs ms since 1970, for a `Retry-After` that is a date.
 */
export function judgeAnswer(answer: HttpAnswer, wallMs: number): Outcome {
  const { status } = answer
  const why = `HTTP ${status}${excerpt(answer.body)}`
  const told = toldPauseMs(answer, wallMs)
  if (status >= 200 && status < 300) return { kind: 'delivered', pauseMs: exhaustedPauseMs(answer) }
  if (status === 429 || status === 408 || status >= 500) return { kind: 'retry', why, afterMs: told }
  if (status >= 300 && status < 400)
    return { kind: 'refused', why: `HTTP ${status}: redirects are not followed` }
  return { kind: 'refused', why }
}

/** `Retry-After` in seconds or as a date (RFC 9110 10.2.3), else Discord's `X-RateLimit-Reset-After` in seconds. */
function toldPauseMs({ headers }: HttpAnswer, wallMs: number): number | undefined {
  const retryAfter = one(headers['retry-after'])
  const seconds = secondsToMs(retryAfter) ?? secondsToMs(one(headers['x-ratelimit-reset-after']))
  if (seconds !== undefined) return seconds
  const date = retryAfter === undefined ? Number.NaN : Date.parse(retryAfter)
  return Number.isNaN(date) ? undefined : bounded(date - wallMs)
}

/** Discord says with every answer how many more it takes: the last one it takes is followed by a pause, not by a 429. */
function exhaustedPauseMs({ headers }: HttpAnswer): number {
  if (one(headers['x-ratelimit-remaining']) !== '0') return 0
  return secondsToMs(one(headers['x-ratelimit-reset-after'])) ?? 0
}

function secondsToMs(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text.trim()) ? bounded(Number(text) * 1000) : undefined
}

function bounded(ms: number): number {
  return Math.min(longestPauseMs, Math.max(0, Math.ceil(ms)))
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header
}

/** Slack and Discord say in the body what they do not like. One short line of it, in quotes: these are the receiver's words. */
function excerpt(body: string): string {
  const line = oneLine(body.replaceAll(/\s+/g, ' ').trim())
  return line === '' ? '' : `: "${line.length > 80 ? `${line.slice(0, 79)}…` : line}"`
}
