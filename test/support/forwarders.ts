import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { ForwardOptions } from '../../src/config/forward-options.ts'
import { withDefaults } from '../../src/config/option-table.ts'
import { Forwarder } from '../../src/forward/forwarder.ts'
import type { ForwarderEvent } from '../../src/forward/forwarder-events.ts'
import type { CertificateFiles } from '../../src/web/tls-files.ts'
import { freePort } from './tools.ts'

/** A forwarder within the test's own process. */
export interface LocalForwarder {
  readonly port: number
  readonly forwarder: Forwarder
  readonly events: ForwarderEvent[]
  /** The first event that fits, now or later. */
  event<Kind extends ForwarderEvent['kind']>(kind: Kind): Promise<Extract<ForwarderEvent, { kind: Kind }>>
  close(): Promise<void>
}

/** Starts a forwarder on loopback in front of a port of loopback. */
export async function openForwarder(
  targetPort: number,
  given: Partial<ForwardOptions> = {},
  certificate?: Partial<CertificateFiles> & { cert: string; key: string },
): Promise<LocalForwarder> {
  const port = await freePort()
  const events: ForwarderEvent[] = []
  const watchers = new Set<() => void>()
  const options = withDefaults(
    { listenPort: port, targetHost: '127.0.0.1', targetPort },
    { bind: ['127.0.0.1'], targetCheck: 0 },
  )
  const forwarder = new Forwarder(
    { ...options, ...given },
    {
      event: (event) => {
        events.push(event)
        for (const look of watchers) look()
      },
    },
    { kind: 'none' },
    certificate === undefined ? undefined : { clientCa: undefined, ...certificate },
  )
  await forwarder.start()
  return {
    port,
    forwarder,
    events,
    event: (kind) =>
      new Promise((resolve) => {
        const look = () => {
          const found = events.find((event) => event.kind === kind)
          if (found === undefined) return
          watchers.delete(look)
          resolve(found as never)
        }
        watchers.add(look)
        look()
      }),
    close: async () => {
      forwarder.close()
      forwarder.stopNow()
      await forwarder.drain()
    },
  }
}

export interface LocalTarget {
  readonly port: number
  readonly server: Server
  /** The connections in the order in which they came, each given once. */
  next(): Promise<Socket>
  close(): Promise<void>
}

/** A listener that hands out what connects to it. */
export async function openTarget(
  server: Server = createServer({ allowHalfOpen: true }),
  event = 'connection',
): Promise<LocalTarget> {
  const arrived: Socket[] = []
  const wanted: ((socket: Socket) => void)[] = []
  const all = new Set<Socket>()
  server.on('connection', (socket: Socket) => all.add(socket.on('error', () => {})))
  server.on(event, (socket: Socket) => {
    socket.on('error', () => {})
    const give = wanted.shift()
    if (give === undefined) arrived.push(socket)
    else give(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    server,
    next: () => {
      const socket = arrived.shift()
      return socket === undefined ? new Promise((resolve) => wanted.push(resolve)) : Promise.resolve(socket)
    },
    close: async () => {
      for (const socket of all) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
