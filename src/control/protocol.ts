/**
 * control/: how processes of this package speak with each other. server.ts holds the socket, which is also the lock; client.ts asks;
 * link.ts keeps one connection.
 *
 * The control socket speaks one JSON object a line (NDJSON), both ways.
 *
 *   request:  {"id": 1, "command": "health", ...arguments}
 *   answer:   {"id": 1, "ok": true, "result": ...}
 *             {"id": 1, "ok": false, "code": "starting", "error": "the monitor is only starting", "next": "try again"}
 *   event:    {"id": 1, "event": ...}    any number of them before the answer, to a command that tells what goes on
 *
 * `id` is any number the client likes and comes back as it was. Whoever can open the socket may give every order: it lies
 * in a directory that only its owner can enter.
 */
import { errorText } from '../os/failure.ts'

/** One line to a control socket. */
export interface ControlRequest {
  readonly id: number
  readonly command: string
  readonly [argument: string]: unknown
}

/** An event that the server sends before its answer. */
export interface ControlEvent {
  readonly id: number
  readonly event: unknown
}

export type ControlAnswer =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | RefusedAnswer

/** `code` is for programs. `error` says to people what is wrong, `next` what to do about it. */
export interface RefusedAnswer {
  readonly id: number
  readonly ok: false
  readonly code: ControlErrorCode
  readonly error: string
  readonly next?: string
}

/** Why a request was refused. The codes are stable: a program may rely on them, also one of another version. */
export const controlErrorCodes = [
  /** The line is no request. */
  'malformed-request',
  'unknown-command',
  'invalid-argument',
  /** The process is only starting. */
  'starting',
  /** The process is ending. */
  'ending',
  'replacement-under-way',
  /** systemd runs the process and would take its replacement for a stranger. */
  'supervisor-unaware',
  /** The replacement could not be started, or did not become ready. */
  'replacement-failed',
  /** Anything else. */
  'failed',
] as const

export type ControlErrorCode = (typeof controlErrorCodes)[number]

/** A refusal that programs can tell from others: its code goes over the socket. */
export class ControlRefusal extends Error {
  readonly code: ControlErrorCode
  /** What is wrong, without what to do about it. */
  readonly sentence: string
  readonly next: string | undefined

  /** @param next what to do about it. */
  constructor(code: ControlErrorCode, sentence: string, next?: string) {
    super(next === undefined ? sentence : `${sentence}; ${next}`)
    this.code = code
    this.sentence = sentence
    this.next = next
  }
}

/** A command that is known, with arguments that are not as it needs them. */
export function invalidArgument(sentence: string): ControlRefusal {
  return new ControlRefusal('invalid-argument', sentence)
}

/** The answer that carries an error. One that is no refusal is `failed`. */
export function refusedAnswer(id: number, error: unknown): RefusedAnswer {
  if (!(error instanceof ControlRefusal)) return { id, ok: false, code: 'failed', error: errorText(error) }
  const { code, sentence, next } = error
  return { id, ok: false, code, error: sentence, ...(next === undefined ? {} : { next }) }
}

/** Longest line in bytes that is taken from the other side; a longer one ends the connection. */
export const longestLine = 1024 * 1024

/** The same for an answer that grows with what the process has: `connections` takes some 150 bytes for each; an order may be for all. */
const longestList = 256 * 1024 * 1024

/** Longest answer in bytes that is taken to this command. */
export function longestAnswer(command: string): number {
  return command === 'connections' || command === 'order' ? longestList : longestLine
}

/**
 * Cuts a stream of bytes into lines. Give it chunks; it calls back for each whole line, without its end.
 * @param longest how many bytes a line may have now.
 * @returns false when a line grew longer: the stream is not of this protocol.
 */
export function lineSplitter(
  onLine: (line: string) => void,
  longest: () => number = () => longestLine,
): (chunk: Buffer) => boolean {
  let rest: Buffer[] = []
  let restBytes = 0
  return (chunk) => {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const line = Buffer.concat([...rest, chunk.subarray(start, end)])
      rest = []
      restBytes = 0
      start = end + 1
      if (line.length > longest()) return false
      if (line.length > 0) onLine(line.toString('utf8'))
    }
    if (start < chunk.length) {
      rest.push(chunk.subarray(start))
      restBytes += chunk.length - start
    }
    return restBytes <= longest()
  }
}

/** Reads one request, or says what is wrong with it. */
export function parseRequest(line: string): ControlRequest | ControlRefusal {
  const malformed = (what: string) => new ControlRefusal('malformed-request', what)
  const value = parseObject(line)
  if (value === undefined) return malformed('a request is one JSON object on one line')
  const { id, command } = value
  if (typeof id !== 'number' || !Number.isFinite(id)) return malformed('a request needs a number as "id"')
  if (typeof command !== 'string') return malformed('a request needs a "command"')
  return { ...value, id, command }
}

/** Reads one answer; undefined when it is none. */
export function parseAnswer(line: string): ControlAnswer | ControlEvent | undefined {
  const value = parseObject(line)
  if (value === undefined || typeof value.id !== 'number') return undefined
  const { id, ok, error, code, next, event } = value
  if (ok === undefined && event !== undefined) return { id, event }
  if (ok === true) return { id, ok, result: value.result }
  if (ok !== false || typeof error !== 'string') return undefined
  return { id, ok, code: codeOf(code, error), error, ...(typeof next === 'string' ? { next } : {}) }
}

function codeOf(code: unknown, error: string): ControlErrorCode {
  if (code === undefined) return codeOfOldAnswer(error)
  // One of a version to come means nothing here.
  return controlErrorCodes.find((known) => known === code) ?? 'failed'
}

/**
 * The first versions answered without a code. This is the only place where the program reads a sentence: a forwarder of such a version may
 * still run when the monitor is upgraded.
 */
function codeOfOldAnswer(error: string): ControlErrorCode {
  if (error.startsWith('unknown command ')) return 'unknown-command'
  if (error === 'a replacement is being started already') return 'replacement-under-way'
  return error === 'this forwarder is ending' ? 'ending' : 'failed'
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return value as Record<string, unknown>
  } catch {
    return undefined
  }
}
