import { owner, type ShutdownRequest, type TcpHandle, type WriteRequest } from './libuv.ts'

/** What libuv tells of a handle comes to its owner by the functions of this file: one for all handles, and no closure for any. */
export interface HandleOwner {
  /** How much a read brought, or why it failed. @returns where the next read goes; undefined = to the same buffer. */
  readDone(memory: ArrayBuffer | undefined): Buffer | undefined
  writeDone(status: number): void
  shutdownDone(): void
  /** The handle was closed in this turn: by {@link tellSoon}. */
  tellClosed(): void
}

/** For `TcpHandle.onread`. */
export function onread(this: TcpHandle, memory: ArrayBuffer | undefined): Buffer | undefined {
  return (this[owner] as HandleOwner).readDone(memory)
}

/** For `WriteRequest.oncomplete`. */
export function writeDone(this: WriteRequest, status: number): void {
  this.buffer = undefined
  ;(this.handle[owner] as HandleOwner).writeDone(status)
}

/** For `ShutdownRequest.oncomplete`. */
export function shutdownDone(this: ShutdownRequest): void {
  ;(this.handle[owner] as HandleOwner).shutdownDone()
}

const toBeToldClosed: HandleOwner[] = []
const settled = Promise.resolve()

/** One microtask tells all that were closed in the same turn, by a promise's way: `queueMicrotask` makes a resource of each. */
export function tellSoon(closed: HandleOwner): void {
  if (toBeToldClosed.push(closed) === 1) void settled.then(tellAllClosed)
}

function tellAllClosed(): void {
  for (const one of toBeToldClosed.splice(0)) one.tellClosed()
}
