import { idOf, type Message, nameIn, readMessage } from '../protocol/message.ts'
import type { Sent, Wire, WireEvents } from '../upstream/wire.ts'
import type { Tap } from './index.ts'

interface AskedFor {
  readonly method: string | null
  readonly client: string | null
  /** Monotonic ms. */
  readonly at: number
}

/** A wire whose messages are written while the tap is on. @param open makes the wire. */
export function tapped(
  open: (events: WireEvents) => Wire,
  events: WireEvents,
  tap: Tap,
  connector: string,
): Wire {
  /** Requests under way, by their id on this connection; those from before the tap was on are missing. */
  const asked = new Map<number, AskedFor>()
  const heard = (text: string) => {
    const message = readable(text)
    const isAnswer = message !== undefined && message.method === undefined
    const id = message?.id === undefined ? null : idOf(message)
    const request = isAnswer ? asked.get(Number(id)) : undefined
    if (isAnswer) asked.delete(Number(id))
    const took = request === undefined ? {} : { ms: Math.round(performance.now() - request.at) }
    const method = message?.method ?? request?.method ?? null
    const client = request?.client ?? null
    tap.write({ connector, client, direction: 'from-server', method, id, ...took }, text)
  }
  const sent = (text: string, { id, method: asks, client: info }: Sent) => {
    const method = asks ?? null
    const client = info === undefined ? null : nameIn(info)
    if (id !== undefined) asked.set(id, { method, client, at: performance.now() })
    const written = method === null ? readable(text) : undefined
    const shown = id ?? (written === undefined ? undefined : idOf(written))
    const idText = shown === undefined ? null : String(shown)
    tap.write({ connector, client, direction: 'to-server', method, id: idText }, text)
  }
  const wire = open({
    ...events,
    message: (text, exchange) => {
      if (tap.isOn) heard(text)
      else if (asked.size > 0) asked.clear()
      events.message(text, exchange)
    },
  })
  return {
    send: (text, one) => {
      if (tap.isOn) sent(text, one)
      wire.send(text, one)
    },
    abandon: (id) => {
      asked.delete(id)
      return wire.abandon(id)
    },
    speaks: (revision) => wire.speaks(revision),
    close: () => wire.close(),
    facts: () => wire.facts(),
  }
}

function readable(text: string): Message | undefined {
  try {
    return readMessage(text)
  } catch {
    return undefined
  }
}
