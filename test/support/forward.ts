import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { withDefaults } from '../../src/config/option-table.ts'
import type { AccessRecord } from '../../src/forward/access-record.ts'
import { Forwarder } from '../../src/forward/forwarder.ts'
import type { ForwarderEvent } from '../../src/forward/forwarder-events.ts'
import { isResetInDisguise } from '../../src/forward/relay/libuv.ts'
import { resetSocket } from '../../src/forward/relay/reset.ts'
import { freePort, inTime } from './tools.ts'

/** A list that can be waited on. */
export class Told<T> {
  readonly all: T[] = []
  readonly #waiting = new Set<() => void>()

  add(item: T): void {
    this.all.push(item)
    for (const look of [...this.#waiting]) look()
  }

  /** The first that fits, told before or yet to be told. */
  find(fits: (item: T) => boolean): Promise<T> {
    return inTime(this.#found(fits), () => `of ${this.all.length}, the last: ${inspect(this.all.slice(-20))}`)
  }

  #found(fits: (item: T) => boolean): Promise<T> {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.all.find(fits)
        if (found === undefined) return
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }

  /** All of them, once there are so many. */
  async count(number: number): Promise<readonly T[]> {
    await this.find(() => this.all.length >= number)
    return this.all
  }
}

export interface Forward {
  readonly forwarder: Forwarder
  readonly port: number
  readonly events: Told<ForwarderEvent>
  readonly records: Told<AccessRecord>
  /** A new client; resolves when it is connected to the forwarder. */
  connect(options?: net.TcpNetConnectOpts | net.IpcNetConnectOpts): Promise<net.Socket>
  close(): void
}

/**
 * A forwarder in this process on a free port of 127.0.0.1, without a target check of its own, unless told otherwise.
 * @param options by their keys in a configuration file; `listenPort` chooses the port.
 */
export async function openForward(
  target: { readonly host: string; readonly port: number },
  options: Readonly<Record<string, unknown>> = {},
): Promise<Forward> {
  const port = typeof options.listenPort === 'number' ? options.listenPort : await freePort()
  const events = new Told<ForwarderEvent>()
  const records = new Told<AccessRecord>()
  const forwarder = new Forwarder(
    withDefaults(
      { listenPort: port, targetHost: target.host, targetPort: target.port },
      { bind: ['127.0.0.1'], targetCheck: 0, drain: 0, ...options },
    ),
    { event: (event) => events.add(event), ended: (record) => records.add(record) },
  )
  await forwarder.start()
  return {
    forwarder,
    port,
    events,
    records,
    connect: (to) => connected(to ?? { host: '127.0.0.1', port }),
    close: () => {
      forwarder.close()
      forwarder.stopNow()
    },
  }
}

export async function connected(to: net.TcpNetConnectOpts | net.IpcNetConnectOpts): Promise<net.Socket> {
  const socket = net.connect({ ...to, allowHalfOpen: true })
  await once(socket, 'connect')
  // Whoever waits for an error gets it all the same.
  socket.on('error', () => {})
  // A reset that Node 20 and 22 take for an end leaves a half-open socket, and with it the test, open for ever.
  socket.on('end', () => {
    if (isResetInDisguise(socket)) setImmediate(() => socket.destroy())
  })
  return socket
}

/** What a client sees that must not get in: `ECONNRESET`, at once or later; anything else is told as it is. */
export function fate(to: net.TcpNetConnectOpts | net.IpcNetConnectOpts): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ ...to, allowHalfOpen: true })
    const tell = (what: string) => {
      socket.destroy()
      resolve(what)
    }
    socket.on('data', (chunk) => tell(`got ${chunk.length} bytes`))
    socket.on('end', () => tell(isResetInDisguise(socket) ? 'ECONNRESET' : 'FIN'))
    socket.on('error', (error: NodeJS.ErrnoException) => tell(error.code ?? error.message))
  })
}

/** Resolves when a socket is closed, however. */
export function closed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
}

export interface Target {
  readonly host: string
  readonly port: number
  readonly connections: Told<net.Socket>
  /** Stops listening and resets everybody. */
  close(): Promise<void>
}

/** A target that does with each connection what it is told; the default sends everything back and answers FIN with FIN. */
export async function openTarget(
  serve: (socket: net.Socket) => void = echo,
  place: { host?: string; port?: number; path?: string } = {},
): Promise<Target> {
  const connections = new Told<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    connections.add(socket)
    serve(socket)
  })
  server.listen(place.path !== undefined ? { path: place.path } : { host: '127.0.0.1', port: 0, ...place })
  await once(server, 'listening')
  const address = server.address()
  const isPath = typeof address === 'string' || address === null
  return {
    host: isPath ? `unix:${place.path}` : address.address,
    port: isPath ? 0 : address.port,
    connections,
    close: async () => {
      server.close()
      for (const socket of connections.all) resetSocket(socket)
      await once(server, 'close')
    },
  }
}

export function echo(socket: net.Socket): void {
  socket.pipe(socket)
}

/** Accepts and says nothing, not even FIN. */
export function silence(socket: net.Socket): void {
  socket.resume()
}

/** Says something and waits until the same has come back. */
export async function roundTrip(socket: net.Socket, text = 'ping'): Promise<void> {
  socket.write(text)
  let got = ''
  while (got.length < text.length) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    got += chunk.toString()
  }
  if (got !== text) throw new Error(`sent ${text}, got ${got}`)
}

/** A folder of a test's own, for sockets: short, because their paths must be. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'pw-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}
