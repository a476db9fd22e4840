import type { Socket } from 'node:net'
import type { ConnectionState } from '../connection-state.ts'
import { type ProxyHeader, parseProxyHeader } from './proxy-protocol.ts'
import { type ClientStep, type StepDone, watchClient } from './steps.ts'

/**
 * What is waited for from a client that is a proxy: the whole header, before anything else is done with the connection.
 * @param admit told the connection with the source that the header names; when it says false it has turned it away.
 */
export function receiveProxyHeader(timeoutMs: number, admit: Admit): ClientStep {
  const step: ClientStep = {
    name: 'PROXY header',
    side: 'client',
    timeoutMs,
    run: (socket, connection, done) =>
      readHeader(step, socket, done, (header) => takeAddresses(connection, header, admit)),
  }
  return step
}

/**
 * - `told`: its source is the one that the header names.
 * - `untold`: the header names none, so the connection's own addresses hold.
 * - `check`: the proxy speaks for itself, as for a health check.
 */
export type Claim = 'told' | 'untold' | 'check'

type Admit = (connection: ConnectionState, claim: Claim) => boolean

/** @param take false ends the step without an outcome. */
function readHeader(
  step: ClientStep,
  socket: Socket,
  done: StepDone,
  take: (header: ProxyHeader) => boolean,
): () => void {
  let received: Buffer = Buffer.alloc(0)
  const finish = (...result: Parameters<StepDone>) => {
    stop()
    done(...result)
  }
  const read = () => {
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
      // What one chunk brings too much is handed on below; more than a header is never gathered.
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      const parsed = parseProxyHeader(received)
      if (parsed.kind === 'more') continue
      if (parsed.kind === 'wrong') return finish(failed(parsed.problem))
      // Listeners first: what is put back would call them again.
      stop()
      if (received.length > parsed.length) socket.unshift(received.subarray(parsed.length))
      if (take(parsed.header)) done({ ok: true, socket })
      return
    }
  }
  const ended = () =>
    done({ ok: false, failure: { reason: 'gone', step, message: 'it closed before its header was whole' } })
  const failed = (message: string) => ({
    ok: false as const,
    failure: { reason: 'refused' as const, step, message },
  })
  const stop = watchClient(socket, read, ended)
  return stop
}

function takeAddresses(connection: ConnectionState, header: ProxyHeader, admit: Admit): boolean {
  switch (header.kind) {
    case 'addresses':
      connection.source = header.source
      connection.destination = header.destination
      return admit(connection, 'told')
    case 'unknown':
      return admit(connection, 'untold')
    case 'local':
      return admit(connection, 'check')
  }
}
