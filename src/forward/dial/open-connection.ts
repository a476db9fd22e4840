import { connect } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { isIPv6 } from '../../os/ip-address.ts'
import { BareSocket } from '../relay/bare-socket.ts'
import { type ConnectRequest, type Libuv, libuv, type TcpHandle } from '../relay/libuv.ts'
import type { RelaySocket } from '../relay/relay-socket.ts'
import { StreamSocket } from '../relay/stream-socket.ts'

/** Told once, never within the call that begins: a connected socket that was not read from, or why there is none. */
export interface ConnectListener {
  connected(socket: RelaySocket): void
  /** @param error `isLocal` when the kernel refused at once, without a packet sent. */
  failed(error: NodeJS.ErrnoException & { readonly isLocal?: boolean }): void
}

/** A connect that is under way. */
export interface Opening {
  /** Ends it: nobody is told anything then. */
  giveUp(): void
}

/**
 * Connects to one address, for as long as the kernel tries.
 * @param address an IP address or `unix:/path`.
 */
export function openConnection(address: string, port: number, listener: ConnectListener): Opening {
  if (libuv === undefined || address.startsWith('unix:')) return openStream(address, port, listener)
  const opening = new BareOpening(libuv, listener)
  opening.start(address, port)
  return opening
}

class BareOpening implements Opening {
  readonly #libuv: Libuv
  readonly #handle: TcpHandle
  #listener: ConnectListener | undefined
  #isReading = false

  constructor(libuv: Libuv, listener: ConnectListener) {
    this.#libuv = libuv
    this.#handle = libuv.newTcpHandle()
    this.#listener = listener
  }

  start(address: string, port: number): void {
    const request = this.#libuv.newConnectRequest()
    request.purpose = this
    request.oncomplete = connectDone
    const handle = this.#handle
    const error = isIPv6(address)
      ? handle.connect6(request, address, port)
      : handle.connect(request, address, port)
    if (error !== 0) return queueMicrotask(() => this.done(error, true))
    // libuv asks for both kinds of events at once then, and not for one after the other: a system call less. Nothing can come before
    // the connect is done.
    this.#isReading = handle.readStart() === 0
  }

  giveUp(): void {
    if (this.#listener === undefined) return
    this.#listener = undefined
    this.#handle.close()
  }

  /**
   * For the request's callback.
   * @param isLocal the kernel refused at once.
   */
  done(status: number, isLocal = false): void {
    const listener = this.#listener
    if (listener === undefined) return
    this.#listener = undefined
    if (status === 0) {
      const origin = this.#isReading ? 'dialled' : 'dialled, not reading'
      return listener.connected(new BareSocket(this.#libuv, this.#handle, origin))
    }
    this.#handle.close()
    const code = getSystemErrorName(status)
    listener.failed(Object.assign(new Error(`connect ${code}`), { code, syscall: 'connect', isLocal }))
  }
}

function connectDone(this: ConnectRequest, status: number): void {
  ;(this.purpose as BareOpening).done(status)
}

function openStream(address: string, port: number, listener: ConnectListener): Opening {
  const to = address.startsWith('unix:')
    ? { path: address.slice('unix:'.length) }
    : { host: address, port, autoSelectFamily: false, noDelay: true }
  const socket = connect({ ...to, allowHalfOpen: true })
  const failed = (error: Error) => {
    socket.on('error', () => {}).destroy()
    listener.failed(error)
  }
  socket.once('error', failed)
  socket.once('connect', () => {
    socket.removeListener('error', failed)
    listener.connected(new StreamSocket(socket))
  })
  return {
    giveUp: () => {
      socket.removeListener('error', failed)
      socket.removeAllListeners('connect')
      socket.on('error', () => {}).destroy()
    },
  }
}
