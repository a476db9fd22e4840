/**
 * The control socket speaks one JSON object a line (NDJSON), both ways.
 *
 *   request:  {"id": 1, "command": "health", ...arguments}
 *   answer:   {"id": 1, "ok": true, "result": ...}
 *             {"id": 1, "ok": false, "error": "what is wrong", "code": "unknown-command"}
 *
 * `id` is any number the client likes and comes back as it was. Whoever can open the socket may give every order: it lies
 * in a directory that only its owner can enter.
 */
export interface ControlRequest {
  readonly id: number
  readonly command: string
  readonly [argument: string]: unknown
}

export type ControlAnswer =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  /** `code` is for programs, `error` for people. One of an older version has no code. */
  | { readonly id: number; readonly ok: false; readonly error: string; readonly code?: string }

/** A refusal that programs can tell from others: its `code` goes over the socket. */
export class ControlRefusal extends Error {
  readonly code: string

  /** @param code stable, in kebab case. */
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** Longest line in bytes that is taken from the other side; a longer one ends the connection. */
export const longestLine = 1024 * 1024

/** The same for an answer that grows with what the process has: `connections` takes some 150 bytes for each. */
const longestList = 256 * 1024 * 1024

/** Longest answer in bytes that is taken to this command. */
export function longestAnswer(command: string): number {
  return command === 'connections' ? longestList : longestLine
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

/** Reads one request, or says in words what is wrong with it. */
export function parseRequest(line: string): ControlRequest | string {
  const value = parseObject(line)
  if (value === undefined) return 'a request is one JSON object on one line'
  const { id, command } = value
  if (typeof id !== 'number' || !Number.isFinite(id)) return 'a request needs a number as "id"'
  if (typeof command !== 'string') return 'a request needs a "command"'
  return { ...value, id, command }
}

/** Reads one answer; undefined when it is none. */
export function parseAnswer(line: string): ControlAnswer | undefined {
  const value = parseObject(line)
  if (value === undefined || typeof value.id !== 'number') return undefined
  if (value.ok === true) return { id: value.id, ok: true, result: value.result }
  if (value.ok === false && typeof value.error === 'string')
    return {
      id: value.id,
      ok: false,
      error: value.error,
      ...(typeof value.code === 'string' ? { code: value.code } : {}),
    }
  return undefined
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
