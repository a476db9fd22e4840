import type { ConnectorConfiguration } from '../../config/connector-configuration.ts'
import { withVariables } from '../../config/variables.ts'
import type { Era } from '../protocol/revisions.ts'
import type { Tap } from '../tap/index.ts'
import { tapped } from '../tap/tapped.ts'
import type { CallingClient } from './call.ts'
import { Connection, type ConnectionEvents, ConnectionLost } from './connection.ts'
import type { Credentials } from './credentials.ts'
import type { HttpPlace } from './http-exchange.ts'
import { httpWire } from './http-wire.ts'
import { markOf } from './leftovers.ts'
import { sseWire } from './sse-wire.ts'
import { stdioWire } from './stdio-wire.ts'
import type { Wire, WireEvents } from './wire.ts'

export interface Start {
  readonly connector: ConnectorConfiguration
  /** Shown to its server; undefined = nothing. */
  readonly credentials: Credentials | undefined
  /** Whose connection it is to be, as its processes carry it. */
  readonly session: string
  /** The generation that its server spoke last. */
  readonly known: Era | undefined
  /** ms until it must have answered. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Whose own connection it is; undefined = it is for all. */
  readonly client: Pick<CallingClient, 'capabilities'> | undefined
  readonly events: Omit<ConnectionEvents, 'closed'>
  /** Undefined = nobody can look at the messages. */
  readonly tap: Tap | undefined
  /** Told when a connection that was there has gone. */
  readonly lost: (connection: Connection, problem: Error) => void
  /** Told of the connection that has failed: it knows the last words of the server. */
  readonly failed: (connection: Connection) => void
}

/** Opens a connection to a server, which for stdio starts it, and finds out how it speaks. @throws Error with the reason. */
export async function started(start: Start): Promise<Connection> {
  const timeout = AbortSignal.timeout(start.timeoutMs)
  const signal = AbortSignal.any([timeout, start.signal])
  const begin = async (known: Era | undefined) => {
    const connection: Connection = new Connection((events) => wireOf(start, events), {
      ...start.events,
      closed: (problem) => start.lost(connection, problem),
    })
    try {
      await connection.shakeHands(known, signal, start.client)
      return connection
    } catch (error) {
      const said = connection.wireFacts().lastLines.slice(-3)
      start.failed(connection)
      await connection.close()
      if (!timeout.aborted) throw error
      const words = said.length === 0 ? '' : `; it said last: ${said.join(' | ')}`
      throw new Error(`it did not answer within ${start.timeoutMs / 1000} s${words}`)
    }
  }
  try {
    return await begin(start.known)
  } catch (error) {
    // Some servers end at a request that they do not know before `initialize`; one may have been replaced by one of the other generation.
    if (signal.aborted || start.known === 'legacy' || !(error instanceof ConnectionLost)) throw error
    return await begin('legacy')
  }
}

function wireOf(start: Start, events: WireEvents): Wire {
  const { tap, connector } = start
  if (tap === undefined) return bareWireOf(start, events)
  return tapped((own) => bareWireOf(start, own), events, tap, connector.id)
}

function bareWireOf({ connector, session, credentials }: Start, events: WireEvents): Wire {
  const { transport } = connector
  switch (transport.kind) {
    case 'stdio':
      return stdioWire(transport, markOf(connector.id, session), events)
    case 'http':
      return httpWire({ ...placeOf(transport), credentials }, events)
    case 'sse':
      return sseWire({ ...placeOf(transport), credentials }, events)
  }
}

/** @throws MissingVariable */
function placeOf({ url, headers }: Omit<HttpPlace, 'credentials'>) {
  const resolved = (text: string) => withVariables(text, process.env, process.cwd())
  const own = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), resolved(value)])
  return { url: resolved(url), headers: Object.fromEntries(own) as HttpPlace['headers'] }
}
