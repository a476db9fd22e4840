import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RingEntry, RingLog } from '../../log/ring-log.ts'
import type { Access } from '../access.ts'
import type { Principal } from '../principal.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import { challengeText } from './challenge.ts'
import { SseStream } from './sse-stream.ts'
import { refuse, refuseAdmission, refuseMethod } from './visit.ts'

export const logPath = '/logs'

/** Streams at once. */
const mostStreams = 100

const levels = ['info', 'warn', 'error'] as const

/** Lines that a stream begins with, where the client does not say how many. */
const usualTail = 50
const mostTail = 1000

/** The log of the gateway as it comes, to who holds a key with that scope. A stream that was cut goes on with `Last-Event-ID`. */
export class LogStreams {
  readonly #ring: RingLog
  #count = 0

  constructor(ring: RingLog) {
    this.#ring = ring
  }

  /** GET /logs. `?level=WARN` = lines of this level and above; `?tail=0` = new ones alone. */
  open(request: IncomingMessage, response: ServerResponse, { logs }: Principal): void {
    const invalid = (status: number, code: number, what: string) =>
      refuse(response, status, new RpcError(code, what))
    if (request.method !== 'GET') return refuseMethod(response, request.method, 'GET')
    if (logs === undefined) {
      const what = 'Forbidden: this needs a key with the scope logs: mcp-proxy key create NAME --scope logs'
      return invalid(403, rpcCode.forbidden, what)
    }
    const asked = new URL(request.url ?? '', 'http://localhost').searchParams
    const level = levels.findIndex((one) => one === (asked.get('level') ?? 'info').toLowerCase())
    const tail = Number(asked.get('tail') ?? usualTail)
    if (level < 0 || !Number.isInteger(tail) || tail < 0 || tail > mostTail) {
      const what = `Bad Request: level is INFO, WARN or ERROR, and tail is 0 to ${mostTail}`
      return invalid(400, rpcCode.invalidRequest, what)
    }
    if (this.#count >= mostStreams)
      return invalid(429, rpcCode.overloaded, `${mostStreams} streams of the log are open`)
    const stream = new SseStream(response)
    const isWanted = (entry: RingEntry) => levels.indexOf(entry.level) >= level
    const send = (entry: RingEntry) => {
      const { sequence, time, level: of, source, message } = entry
      // The reader of the ring gives a line without a unit to the monitor, whose log has the same form.
      const from = source === 'monitor' ? 'gateway' : source
      const line = { sequence, ts: time, level: of.toUpperCase(), source: from, message }
      const isSent = stream.send(JSON.stringify(line), {
        isNeeded: false,
        event: 'log',
        id: String(sequence),
      })
      // One that does not read is cut off, and goes on from where it was.
      if (!isSent) stream.end()
    }
    const after = request.headers['last-event-id']
    const all = this.#ring.entries()
    const known = all.filter(isWanted)
    // A number that has not been given yet is of a gateway that has ended: this one counts from the beginning.
    const newest = all.at(-1)?.sequence ?? 0
    const isResumed = typeof after === 'string' && /^\d{1,15}$/.test(after) && Number(after) <= newest
    const begun = isResumed
      ? known.filter(({ sequence }) => sequence > Number(after))
      : tail === 0
        ? []
        : known.slice(-tail)
    for (const entry of begun) send(entry)
    this.#count++
    const leave = this.#ring.follow((entry) => {
      if (isWanted(entry)) send(entry)
    })
    response.once('close', () => {
      this.#count--
      leave()
    })
  }
}

interface LogDoor {
  readonly access: Access
  /** Told of everybody who is let in. */
  readonly admitted: (request: IncomingMessage, response: ServerResponse, principal: Principal) => void
  /** The address that the request comes from. */
  readonly from: string
}

/** Finds out who asks for the log, and opens a stream for him. */
export async function answerLog(
  streams: LogStreams,
  { access, admitted, from }: LogDoor,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const admission = await access.judge(request, from, logPath)
  if (!admission.ok)
    return refuseAdmission(response, admission, (more) => challengeText(undefined, '', logPath, more))
  admitted(request, response, admission.principal)
  streams.open(request, response, admission.principal)
}
