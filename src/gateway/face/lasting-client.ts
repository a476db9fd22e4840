import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { errorText, RpcError, rpcCode } from '../protocol/errors.ts'
import { longestMessage } from '../upstream/limits.ts'
import { LineReader } from '../upstream/line-reader.ts'
import { leavingLines } from './attach.ts'
import { ClientMemory } from './client-memory.ts'

/** Bytes that may wait for the gateway before the client is no longer read. */
const mostWaiting = 1024 * 1024

/**
 * A client on stdin and stdout, whose gateway may be another process and may be replaced. When it is gone, the client is taken to the next one:
 * its session is begun anew there, calls under way are repeated where that does no harm, and what it sends meanwhile waits.
 */
export class LastingClient {
  readonly #output: Writable
  readonly #find: (isForMonitor: boolean) => Promise<Socket>
  readonly #memory = new ClientMemory()
  /** Lines of the client that no gateway has yet. */
  readonly #waiting: string[] = []
  #socket: Socket | undefined
  /** The gateway takes what is asked of it now. */
  #isOpen = false
  /** The gateway leaves, and finishes what it has. */
  #isLeaving = false
  /** The next gateway is one that a monitor starts. */
  #isForMonitor = false
  #hasInputEnded = false
  #isOver = false
  #over: () => void = () => {}
  #failed: (error: unknown) => void = () => {}

  /**
   * @param find gives the connection to a gateway that runs, or that this process has become. `isForMonitor`: a monitor is about to start it.
   *   Rejects when there can be none.
   */
  constructor(output: Writable, find: (isForMonitor: boolean) => Promise<Socket>) {
    this.#output = output
    this.#find = find
  }

  /** Serves the client. Resolves when it has left and has its last answer. @throws what `find` throws. */
  async serve(input: Readable): Promise<void> {
    const over = new Promise<void>((resolve, reject) => {
      this.#over = resolve
      this.#failed = reject
    })
    const reader = new LineReader(longestMessage, (line) => this.#fromClient(line))
    const ended = () => {
      this.#hasInputEnded = true
      this.#endIfDone()
    }
    input.on('data', (chunk: Buffer) => {
      if (!reader.feed(chunk)) {
        const what = `a line is longer than ${longestMessage} bytes`
        this.#write(errorText('null', new RpcError(rpcCode.invalidRequest, what)))
        input.destroy()
      }
      if ((this.#socket?.writableLength ?? 0) > mostWaiting) {
        input.pause()
        this.#socket?.once('drain', () => input.resume())
        this.#socket?.once('close', () => input.resume())
      }
    })
    input.once('end', ended)
    input.once('close', ended)
    input.once('error', ended)
    const gone = () => this.close()
    this.#output.once('close', gone)
    this.#output.once('error', gone)
    void this.#goOn()
    await over
  }

  /** Goes to no other gateway any more. What this one still answers is passed on. */
  stay(): void {
    this.#isOver = true
  }

  /** The client has gone. */
  close(): void {
    this.#isOver = true
    this.#socket?.destroy()
    this.#over()
  }

  async #goOn(): Promise<void> {
    try {
      while (!this.#isOver) {
        const socket = await this.#find(this.#isForMonitor)
        this.#isForMonitor = false
        if (this.#isOver) return void socket.destroy()
        await this.#use(socket)
        for (const line of this.#memory.lost()) this.#write(line)
        this.#endIfDone()
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Resolves when the connection has ended. */
  async #use(socket: Socket): Promise<void> {
    this.#socket = socket
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    // It says nothing more: what is asked now would be lost.
    socket.once('end', () => socket.destroy())
    const reader = new LineReader(longestMessage + 1024, (line) => this.#fromGateway(line))
    socket.on('data', (chunk: Buffer) => {
      if (!reader.feed(chunk)) socket.destroy()
      if (this.#output.writableLength > mostWaiting) {
        socket.pause()
        this.#output.once('drain', () => socket.resume())
      }
    })
    const resumed = this.#memory.resume((line) => socket.write(`${line}\n`))
    socket.resume()
    const told = await Promise.race([resumed, closed])
    if (told !== undefined && !socket.destroyed) {
      for (const line of told) this.#write(line)
      this.#isOpen = true
      for (const line of this.#waiting.splice(0)) this.#send(line)
      this.#endIfDone()
    }
    await closed
    this.#isOpen = false
    this.#isLeaving = false
    this.#socket = undefined
  }

  #fromClient(line: string): void {
    if (line.trim() === '' || !this.#memory.fromClient(line)) return
    if (this.#isOpen) this.#send(line)
    else this.#waiting.push(line)
  }

  #send(line: string): void {
    this.#memory.sent(line)
    this.#socket?.write(`${line}\n`)
  }

  #fromGateway(line: string): void {
    if (leavingLines.includes(line)) {
      this.#isForMonitor = line === leavingLines[1]
      // It finishes what it has; what comes now waits for the next one.
      this.#isOpen = false
      this.#isLeaving = true
      return this.#leaveIfIdle()
    }
    const again = this.#isLeaving ? this.#memory.notBegun(line) : undefined
    if (again !== undefined) this.#waiting.push(again)
    else if (this.#memory.fromGateway(line, this.#isLeaving)) this.#write(line)
    this.#leaveIfIdle()
    this.#endIfDone()
  }

  #leaveIfIdle(): void {
    if (this.#isLeaving && !this.#isOver && !this.#memory.isWaiting) this.#socket?.destroy()
  }

  #endIfDone(): void {
    if (!this.#hasInputEnded || this.#memory.hasPending) return
    this.#isOver = true
    // What it sent last, a cancellation say, still gets there.
    if (this.#socket === undefined) this.#over()
    else this.#socket.end(() => this.#over())
  }

  #write(line: string): void {
    if (this.#output.writable) this.#output.write(`${line}\n`)
  }
}
