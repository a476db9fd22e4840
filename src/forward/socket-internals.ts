import { type Server, Socket } from 'node:net'

/**
 * Everything the relay takes from the inside of Node's sockets, each with the answer for a Node that lacks it. Checked
 * against Node 20, 22, 24 and 26.
 */
interface NativeHandle {
  readonly fd?: number
  readonly writeQueueSize?: number
  getpeername?(out: object): number
  useUserBuffer?(buffer: Uint8Array): void
}

function nativeHandle(socket: Socket | Server): NativeHandle | null | undefined {
  return (socket as unknown as { _handle?: NativeHandle | null })._handle
}

/** The descriptor, where the system has such numbers. */
export function fileDescriptor(socket: Socket | Server): number | undefined {
  const fd = nativeHandle(socket)?.fd
  return fd === undefined || fd < 0 ? undefined : fd
}

/** Bytes of pending writes that the kernel has not taken, finer than `writableLength`; 0 when unknown. */
export function unsentBytes(socket: Socket): number {
  return nativeHandle(socket)?.writeQueueSize ?? 0
}

/**
 * On Node 20 and 22 a reset that arrives while reading is paused is reported as a plain 'end' (fixed in libuv 1.52).
 * The kernel still knows: a reset connection has no peer any more. The same is true after a clean close of both
 * directions, so this can only be told before our own FIN went out.
 */
export function isResetInDisguise(socket: Socket): boolean {
  if (socket.writableEnded) return false
  return (nativeHandle(socket)?.getpeername?.({}) ?? 0) < 0
}

/** Where a socket keeps what the `onread` option of `net.connect` gave it. */
interface OnreadSlots {
  buffer: symbol
  callback: symbol
  nextBuffer: symbol
}

const onreadSlots = findOnreadSlots()

/** Whether this Node lets a socket that exists already read into a buffer of ours. */
export const userBufferSupported = onreadSlots !== undefined

/** Called for every read with its length; `buffer` is the one the bytes are in. False pauses the socket. */
export type UserBufferReader = (length: number, buffer: Buffer) => boolean

/**
 * Makes a connected plain TCP socket that is not reading yet read into `buffer`: what `net.connect({ onread })` does,
 * which `net.Server` does not offer for the sockets it accepts. The socket stays the same object, so the server that
 * accepted it counts and closes it as ever. After each `read`, `nextBuffer` is asked where the next one goes;
 * undefined means the same place. There are no 'data' events from here on; `resume` or `read(0)` starts the reading.
 *
 * @returns false when this socket or this Node cannot do it; then nothing was changed.
 */
export function readIntoUserBuffer(
  socket: Socket,
  buffer: Buffer,
  read: UserBufferReader,
  nextBuffer: () => Buffer | undefined,
): boolean {
  const handle = nativeHandle(socket)
  // A TLS socket's handle is a layer of its own, and a Unix socket has no resets to tell: both take the plain way.
  if (!onreadSlots || socket.constructor !== Socket || handle?.constructor.name !== 'TCP') return false
  if (typeof handle.useUserBuffer !== 'function') return false
  Object.assign(socket, {
    [onreadSlots.buffer]: buffer,
    [onreadSlots.callback]: read,
    [onreadSlots.nextBuffer]: nextBuffer,
  })
  handle.useUserBuffer(buffer)
  return true
}

/**
 * Replaces the buffer of a socket that {@link readIntoUserBuffer} was successful with, outside of a read. Costs some
 * bytes of native memory until the socket is closed: not for every read.
 *
 * @returns false when the socket is closed already.
 */
export function replaceUserBuffer(socket: Socket, buffer: Buffer): boolean {
  const handle = nativeHandle(socket)
  if (!onreadSlots || !handle?.useUserBuffer) return false
  Object.assign(socket, { [onreadSlots.buffer]: buffer })
  handle.useUserBuffer(buffer)
  return true
}

function findOnreadSlots(): OnreadSlots | undefined {
  const socket = new Socket()
  const symbols = Object.getOwnPropertySymbols(socket)
  const slot = (description: string) =>
    symbols.find((symbol) => symbol.description === description && Reflect.get(socket, symbol) === null)
  const buffer = slot('kBuffer')
  const callback = slot('kBufferCb')
  const nextBuffer = slot('kBufferGen')
  return buffer && callback && nextBuffer ? { buffer, callback, nextBuffer } : undefined
}

/** The socket that a TLS one was made around; undefined when this Node does not tell. */
export function carrierOf(socket: Socket): Socket | undefined {
  const carrier: unknown = Reflect.get(socket, '_parent')
  return carrier instanceof Socket ? carrier : undefined
}
