import { type Server, Socket } from 'node:net'
import { relayVariable } from '../../config/forward-options.ts'
import { system } from '../../os/system.ts'
import type { SocketAddress } from './relay-socket.ts'

/**
 * Everything that is taken from the inside of Node: the handles below its sockets, as `net` itself uses them. Node documents
 * none of it, so it is all in this file, is looked at before it is used, and without it everything goes by `net.Socket`.
 * Used on the majors that the tests are run with.
 * `PORT_WATCHDOG_RELAY=bare` has it used on others as well, `=stream` on none.
 */
export interface StreamHandle {
  readonly fd?: number
  /** Bytes of pending writes that the kernel has not taken. */
  readonly writeQueueSize?: number
  getpeername?(out: object): number
}

/** A TCP socket of libuv. Methods return 0, or the system's error number below zero. */
export interface TcpHandle extends StreamHandle {
  /**
   * Told of every read: by {@link streamState} how much came, or the error. What it returns is where the next one goes;
   * undefined = where this one went.
   * @param memory what came, beginning at an offset that `streamState` has too; undefined with a buffer of the user's.
   */
  onread: (this: TcpHandle, memory: ArrayBuffer | undefined) => Uint8Array | undefined
  /** Whose it is; ours to use. */
  [owner]?: unknown
  readStart(): number
  readStop(): number
  /** From now on reads go there. A few bytes of native memory for each call, until the handle is closed. */
  useUserBuffer(buffer: Uint8Array): void
  /** Without waiting where the kernel has room: {@link wasAsync} tells. Then, and only then, `request` is used. */
  writeBuffer(request: WriteRequest, buffer: Uint8Array): number
  /** @returns 1 when it was done at once. */
  shutdown(request: ShutdownRequest): number
  connect(request: ConnectRequest, address: string, port: number): number
  connect6(request: ConnectRequest, address: string, port: number): number
  /** Closes with a FIN; with a RST when bytes were received that nobody read. */
  close(): void
  /** Closes with a RST. Never while a shutdown is under way: libuv refuses, and Node then loses the descriptor. */
  reset(): number
  setNoDelay(on: boolean): number
  setKeepAlive(on: boolean, idleSeconds: number): number
  getpeername(out: HandleAddress): number
  getsockname(out: HandleAddress): number
}

export const owner = Symbol('owner')

/** What a handle says of an end; empty when the call failed. */
export interface HandleAddress {
  address?: string
  port?: number
}

interface Request {
  /** To be set before it is used. */
  handle: TcpHandle
}
export interface WriteRequest extends Request {
  oncomplete: (this: WriteRequest, status: number) => void
  /** Keeps the bytes alive while the kernel has not taken them. */
  buffer?: Uint8Array | undefined
}
export interface ShutdownRequest extends Request {
  oncomplete: (this: ShutdownRequest, status: number) => void
}
export interface ConnectRequest extends Request {
  oncomplete: (this: ConnectRequest, status: number) => void
  /** What it is for; ours to use. */
  purpose?: unknown
}

interface ListeningHandle {
  onconnection: (this: ListeningHandle, status: number, client: TcpHandle | undefined) => void
  setNoDelay(on: boolean): number
  setKeepAlive(on: boolean, idleSeconds: number): number
}

interface TcpBinding {
  readonly TCP: (new (kind: number) => TcpHandle) & { readonly prototype: TcpHandle }
  readonly TCPConnectWrap: new () => ConnectRequest
  readonly constants: { readonly SOCKET: number }
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest
  readonly ShutdownWrap: new () => ShutdownRequest
  readonly streamBaseState: Int32Array
  readonly kReadBytesOrError: number
  readonly kArrayBufferOffset: number
  readonly kLastWriteWasAsync: number
}

/** What makes bare sockets. */
export interface Libuv {
  readonly newTcpHandle: () => TcpHandle
  readonly newConnectRequest: () => ConnectRequest
  readonly newWriteRequest: () => WriteRequest
  readonly newShutdownRequest: () => ShutdownRequest
  /** Of the read that is being told: bytes, or an error number below zero. */
  readonly bytesOrError: () => number
  /** Of the read that is being told: where in the memory it begins. */
  readonly offset: () => number
  /** Whether the write that just returned is still going on. */
  readonly wasAsync: () => boolean
}

/** The majors of Node that all tests are run with. */
const testedMajors = [20, 22, 24, 26]

/** How connections are relayed: `bare` by libuv's handles, `stream` by `net.Socket`; and why not the usual way, in words. */
export interface RelayPath {
  readonly kind: 'bare' | 'stream'
  /** Null where nothing is to be said: `bare` on a Node that it is tested with. */
  readonly reason: string | null
}

const chosen = choose(process.env[relayVariable], process.versions.node)

/** Undefined when connections go by `net.Socket`; {@link relayPath} tells the reason. */
export const libuv: Libuv | undefined = chosen.libuv

/** Which way this process goes. */
export const relayPath: RelayPath = chosen.path

/**
 * @param wish `stream` = never by libuv's handles, `bare` = also on a Node that it is not tested with; anything else = on tested ones.
 * @param node the version of Node.
 */
export function choose(
  wish: string | undefined,
  node: string,
): { readonly libuv: Libuv | undefined; readonly path: RelayPath } {
  const stream = (reason: string) => ({ libuv: undefined, path: { kind: 'stream', reason } as const })
  if (wish === 'stream') return stream(`${relayVariable}=stream asks for it`)
  const isTested = testedMajors.includes(Number.parseInt(node, 10))
  if (!isTested && wish !== 'bare') {
    return stream(`Node ${node} is not among those it is tested with; ${relayVariable}=bare tries it`)
  }
  const found = findLibuv()
  if (found === undefined) return stream(`Node ${node} does not have what the other way needs`)
  const reason = isTested ? null : `${relayVariable}=bare asks for it; Node ${node} is not tested with it`
  return { libuv: found, path: { kind: 'bare', reason } }
}

function findLibuv(): Libuv | undefined {
  try {
    const binding = Reflect.get(process, 'binding') as (name: string) => unknown
    const { TCP, TCPConnectWrap, constants } = binding.call(process, 'tcp_wrap') as TcpBinding
    const stream = binding.call(process, 'stream_wrap') as StreamBinding
    const { WriteWrap, ShutdownWrap, streamBaseState: state } = stream
    const { kReadBytesOrError, kArrayBufferOffset, kLastWriteWasAsync } = stream
    const methods = [
      'readStart',
      'readStop',
      'useUserBuffer',
      'writeBuffer',
      'shutdown',
      'connect',
      'connect6',
    ]
    const more = ['close', 'reset', 'setNoDelay', 'setKeepAlive', 'getpeername', 'getsockname']
    const isComplete =
      [...methods, ...more].every((name) => typeof Reflect.get(TCP.prototype, name) === 'function') &&
      [TCPConnectWrap, WriteWrap, ShutdownWrap].every((wrap) => typeof wrap === 'function') &&
      areIndices([kReadBytesOrError, kArrayBufferOffset, kLastWriteWasAsync], state)
    if (!isComplete || typeof constants.SOCKET !== 'number') return undefined
    return {
      newTcpHandle: () => new TCP(constants.SOCKET),
      newConnectRequest: () => new TCPConnectWrap(),
      newWriteRequest: () => new WriteWrap(),
      newShutdownRequest: () => new ShutdownWrap(),
      bytesOrError: () => state[kReadBytesOrError] as number,
      offset: () => state[kArrayBufferOffset] as number,
      wasAsync: () => state[kLastWriteWasAsync] !== 0,
    }
  } catch {
    return undefined
  }
}

/** What stands there changes with every read of the process, so it is only looked at where it is. */
function areIndices(indices: readonly unknown[], state: unknown): boolean {
  return (
    state instanceof Int32Array &&
    new Set(indices).size === indices.length &&
    indices.every(
      (index) => Number.isInteger(index) && (index as number) >= 0 && (index as number) < state.length,
    )
  )
}

export function handleOf(socket: Socket | Server): StreamHandle | null | undefined {
  return (socket as unknown as { _handle?: StreamHandle | null })._handle
}

function isTcp(handle: StreamHandle | null | undefined): handle is TcpHandle {
  return handle?.constructor.name === 'TCP'
}

/**
 * Takes what a listening server accepts before a `net.Socket` is made of it; `connection` events no longer come.
 * @returns false when this server or this Node cannot do it; then nothing was changed.
 */
export function acceptHandles(
  server: Server,
  options: { readonly keepAliveSeconds: number },
  accepted: (handle: TcpHandle) => void,
): boolean {
  const handle: unknown = handleOf(server)
  if (libuv === undefined || !isTcp(handle as StreamHandle)) return false
  const listening = handle as ListeningHandle
  if (typeof listening.onconnection !== 'function') return false
  // Where a connection has these from its listener, they cost no call for each.
  const isInherited =
    system.inheritsSocketOptions &&
    listening.setNoDelay(true) === 0 &&
    listening.setKeepAlive(true, options.keepAliveSeconds) === 0
  listening.onconnection = (status, client) => {
    // An accept that fails concerns one connection, never the listener.
    if (status !== 0 || client === undefined) return
    if (!isInherited) {
      client.setNoDelay(true)
      client.setKeepAlive(true, options.keepAliveSeconds)
    }
    accepted(client)
  }
  return true
}

/**
 * Takes the handle out of a plain TCP socket, which is destroyed but for it. The socket must be paused and have nothing left to
 * write.
 * @returns undefined when this socket or this Node cannot do it; then nothing was changed.
 */
export function takeHandle(socket: Socket): TcpHandle | undefined {
  const handle = handleOf(socket)
  // A TLS socket's handle is a layer of its own, and a Unix socket has no resets to tell.
  if (libuv === undefined || socket.constructor !== Socket || !isTcp(handle)) return undefined
  handle.readStop()
  Reflect.set(socket, '_handle', null)
  socket.destroy()
  return handle
}

/** Makes a half-open `net.Socket` of a connected handle, as `net.Server` and `net.connect` do. */
export function socketAround(handle: TcpHandle, mode: 'paused' | 'reading'): Socket {
  delete handle[owner]
  const pauseOnCreate = mode === 'paused'
  const options = { handle, allowHalfOpen: true, pauseOnCreate, readable: true, writable: true }
  return new Socket(options)
}

/** The descriptor, where the system has such numbers. */
export function fileDescriptor(of: Socket | Server | TcpHandle): number | undefined {
  const fd = 'readStart' in of ? of.fd : handleOf(of)?.fd
  return fd === undefined || fd < 0 ? undefined : fd
}

/** The other end of a connection; undefined when the system does not tell, as after a reset. */
export function remoteAddress(handle: TcpHandle): SocketAddress | undefined {
  const out: HandleAddress = {}
  return handle.getpeername(out) < 0 ? undefined : addressOf(out)
}

/** This machine's end of a connection. */
export function localAddress(handle: TcpHandle): SocketAddress | undefined {
  const out: HandleAddress = {}
  return handle.getsockname(out) < 0 ? undefined : addressOf(out)
}

function addressOf({ address, port }: HandleAddress): SocketAddress | undefined {
  return address === undefined ? undefined : { address, port: port ?? 0 }
}

/** Bytes of pending writes that the kernel has not taken, finer than `writableLength`; 0 when unknown. */
export function unsentBytes(socket: Socket): number {
  return handleOf(socket)?.writeQueueSize ?? 0
}

/**
 * On Node 20 and 22 a reset that arrives while reading is paused is reported as a plain end (fixed in libuv 1.52).
 * The kernel still knows: a reset connection has no peer any more. The same is true after a clean close of both
 * directions, so this can only be told before our own FIN went out.
 */
export function hasLostPeer(handle: StreamHandle | null | undefined): boolean {
  return (handle?.getpeername?.({}) ?? 0) < 0
}

/** False where libuv tells a reset by its name; see {@link hasLostPeer}. */
export const resetsMayBeDisguised = isOlder(process.versions.uv, [1, 52])

function isOlder(version: string, [major, minor]: readonly [number, number]): boolean {
  const [haveMajor = 0, haveMinor = 0] = version.split('.').map(Number)
  return haveMajor < major || (haveMajor === major && haveMinor < minor)
}

/** {@link hasLostPeer} of a socket that has not sent its FIN. */
export function isResetInDisguise(socket: Socket): boolean {
  return !socket.writableEnded && hasLostPeer(handleOf(socket))
}

/** The socket that a TLS one was made around; undefined when this Node does not tell. */
export function carrierOf(socket: Socket): Socket | undefined {
  const carrier: unknown = Reflect.get(socket, '_parent')
  return carrier instanceof Socket ? carrier : undefined
}
