/** Passes a WebSocket on: its request to the target, and then bytes both ways. */
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { AnswerHead } from './answer-head.ts'
import { dropHopByHop } from './headers.ts'
import { requestHead } from './request-head.ts'
import type { Asker, TargetConnection } from './target-connection.ts'
import { failureOf, failureWords, type TargetFailure } from './target-failure.ts'

export interface WebSocketPlace {
  /** Opens a connection to the target. The callback is called once. */
  readonly open: (done: (error: Error | undefined, connection: TargetConnection | undefined) => void) => void
  /** Called with the outcome: undefined = the target answered. */
  readonly outcome: (failure: TargetFailure | undefined) => void
  /** The target as a person writes it. */
  readonly targetName: string
}

/** ms for the target's answer to an upgrade. */
const upgradeTimeoutMs = 10_000

/**
 * @param request its headers must be rewritten already.
 * @param first what was read behind the request.
 */
export function passWebSocket(
  request: IncomingMessage,
  visitor: Socket,
  first: Buffer,
  place: WebSocketPlace,
): void {
  const { url = '/', headers } = request
  visitor.setNoDelay(true)
  visitor.setKeepAlive(true)
  if (first.length > 0) visitor.unshift(first)
  visitor.on('error', () => {})
  let connection: TargetConnection | undefined
  const stopWatching = endWhenGone(visitor)
  const leave = () => {
    clearTimeout(deadline)
    connection?.destroy()
  }
  visitor.once('close', leave)
  const fail = (failure: TargetFailure) => {
    leave()
    if (visitor.destroyed) return
    place.outcome(failure)
    const { status, text } = failureWords(failure, place.targetName)
    if (visitor.writable) refuseUpgrade(visitor, status, text)
  }
  const deadline = setTimeout(
    () => fail({ problem: 'timed-out', detail: 'no answer to the WebSocket request' }),
    upgradeTimeoutMs,
  )
  const settled = () => {
    clearTimeout(deadline)
    stopWatching()
    visitor.off('close', leave)
    place.outcome(undefined)
  }
  place.open((error, opened) => {
    if (visitor.destroyed || opened === undefined) {
      opened?.destroy()
      return fail(failureOf(error))
    }
    connection = opened
    const asker: Asker = {
      ...new Refusal(visitor, opened, settled, fail).asker,
      switched: (head, target, bytes) => {
        settled()
        if (bytes.length > 0) target.unshift(bytes)
        target.setKeepAlive(true)
        visitor.write(headText('HTTP/1.1 101 Switching Protocols', head.headers), 'latin1')
        tieTogether(visitor, target)
        target.pipe(visitor).pipe(target)
      },
    }
    // Its tokens beside this one were dropped with the headers that they named.
    opened.ask(asker, 'GET', requestHead('GET', url, headers, 'none', 'Upgrade'), true)
    opened.sentWhole()
  })
}

/** Passes an answer other than 101 on, and closes behind it. */
class Refusal {
  readonly asker: Omit<Asker, 'switched'>

  constructor(
    visitor: Socket,
    connection: TargetConnection,
    settled: () => void,
    fail: (failure: TargetFailure) => void,
  ) {
    let isChunked = false
    let isBegun = false
    const body = (bytes: Buffer) => {
      if (isChunked) visitor.write(`${bytes.length.toString(16)}\r\n`)
      visitor.write(bytes)
      if (isChunked) visitor.write('\r\n')
      if (visitor.writableLength === 0) return
      connection.pause()
      visitor.once('drain', () => connection.resume())
    }
    const end = () => void visitor.end(isChunked ? '0\r\n\r\n' : '', () => visitor.destroy())
    this.asker = {
      head({ status, reason, headers }: AnswerHead, whole) {
        settled()
        isBegun = true
        visitor.once('close', () => connection.destroy())
        isChunked = headers['transfer-encoding'] !== undefined
        dropHopByHop(headers)
        delete headers.upgrade
        headers.connection = 'close'
        visitor.write(headText(`HTTP/1.1 ${status} ${reason}`, headers), 'latin1')
        if (whole === undefined) return
        if (whole.length > 0) body(whole)
        end()
      },
      body,
      end,
      failed: (failure) => (isBegun ? void visitor.destroy() : fail(failure)),
      drained: () => {},
    }
  }
}

function headText(line: string, headers: AnswerHead['headers']): string {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => `${name}: ${each}`),
  )
  return `${[line, ...lines].join('\r\n')}\r\n\r\n`
}

/**
 * Refuses an upgrade; there is no response object for one.
 * @param why for the person who looks at it with curl; browsers show a page nothing of it.
 */
export function refuseUpgrade(socket: Duplex, status: number, why = ''): void {
  const challenge = status === 401 ? 'WWW-Authenticate: Bearer realm="port-watchdog"\r\n' : ''
  const body = why === '' ? '' : `${why}\n`
  const type = body === '' ? '' : 'Content-Type: text/plain; charset=utf-8\r\n'
  const framing = `Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}`
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${challenge}${type}${framing}\r\n\r\n`
  socket.end(head + body, () => socket.destroy())
}

/**
 * Ends a socket that is not read yet when its visitor goes away. What the visitor sends meanwhile stays in the buffer; `readable` with an
 * empty buffer means the end.
 */
function endWhenGone(client: Duplex): () => void {
  const look = () => {
    if (client.readableLength === 0) client.destroy()
  }
  client.on('readable', look)
  return () => client.removeListener('readable', look)
}

/** ms for which the second half of a WebSocket may go on after the first has ended, or its last bytes be taken. */
const endingMs = 30_000

/**
 * A WebSocket ends as a whole. A pipe alone would keep one side for ever when the other is cut off instead of closed, when it
 * answers an end with nothing, or when its last bytes are never read.
 */
function tieTogether(client: Duplex, target: Duplex): void {
  let deadline: NodeJS.Timeout | undefined
  const endSoon = () => {
    deadline ??= setTimeout(() => {
      client.destroy()
      target.destroy()
    }, endingMs)
  }
  client.once('end', endSoon)
  target.once('end', endSoon)
  client.once('close', () => {
    clearTimeout(deadline)
    target.destroy()
  })
  target.once('close', () => {
    if (client.destroyed) return
    endSoon()
    client.end(() => client.destroy())
  })
}
