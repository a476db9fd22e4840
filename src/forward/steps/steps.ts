/**
 * steps/: what happens on one side of a connection before its bytes are relayed.
 *
 *   accept -> ClientStep… -> dial -> TargetStep… -> relay
 *
 * One small file a step. forward-steps.ts puts them into order once, at the forwarder's start; a forward without steps pays nothing for them.
 * To add a step: its file, its line in `ForwardSteps.prepare`, its option in config/option-table.ts.
 */
import type { Socket } from 'node:net'
import type { ConnectionState } from '../connection-state.ts'

/** Something that must happen on one side of a connection before its bytes are relayed. */
interface Step<For> {
  /** In logs and access records, in the singular: `PROXY header`, `TLS handshake`. */
  readonly name: string
  /** Until it must be done, in ms. 0 = it may take for ever. The deadline is kept for the step, not by it. */
  readonly timeoutMs: number
  /**
   * Begins. `done` is called at most once, within this call or later. The socket is paused and nothing was read from it, unless the step
   * before left bytes in it by `unshift`; so must this step leave what it does not need. Its 'error' is handled already.
   *
   * A client's `connection.source` may be changed (a PROXY header tells the true one). Sockets are not to be destroyed: who fails says so.
   * @returns a function that gives up and takes the step's listeners off; `done` is then never called.
   */
  run(socket: Socket, what: For, done: StepDone): () => void
}

/** Runs on the accepted socket, before the target is dialled: PROXY header in, TLS in, wait for the first byte. */
export interface ClientStep extends Step<ConnectionState> {
  readonly side: 'client'
}

/**
 * Runs on the dialled socket, before the first byte is relayed: PROXY header out, TLS out. A check of the target goes through the
 * same steps.
 */
export interface TargetStep extends Step<Errand> {
  readonly side: 'target'
}

/** What a target is prepared for. */
export interface Errand {
  /** The target as it was given: host name, IP address or `unix:/path`. */
  readonly host: string
  /** Undefined = a check, or the gate, whose connections to the target are its own. */
  readonly connection: ConnectionState | undefined
}

export type StepDone = (result: StepResult) => void

export type StepResult =
  /** `socket` is what comes next uses: the same, or one around it (TLS). */
  { readonly ok: true; readonly socket: Socket } | { readonly ok: false; readonly failure: StepFailure }

/**
 * - `timeout`: the peer did not do its part in time.
 * - `gone`: it closed or reset the connection.
 * - `refused`: what it sent is wrong, or not allowed.
 */
export interface StepFailure {
  readonly reason: 'timeout' | 'gone' | 'refused'
  readonly step: ClientStep | TargetStep
  /** In words, without the step's name. */
  readonly message: string
}

/**
 * Runs steps one after another, each against its own deadline.
 * @returns a function that gives up; `done` is then never called.
 */
export function runSteps<For>(
  steps: readonly (Step<For> & (ClientStep | TargetStep))[],
  socket: Socket,
  what: For,
  done: StepDone,
): () => void {
  let over = false
  let cancelStep = () => {}
  let deadline: NodeJS.Timeout | undefined

  const finish = (result: StepResult) => {
    over = true
    clearTimeout(deadline)
    done(result)
  }
  const run = (index: number, current: Socket) => {
    const step = steps[index]
    if (step === undefined) return finish({ ok: true, socket: current })
    let ended = false
    const cancel = step.run(current, what, (result) => {
      if (ended || over) return
      ended = true
      clearTimeout(deadline)
      if (result.ok) run(index + 1, result.socket)
      else finish(result)
    })
    if (ended) return
    cancelStep = cancel
    if (step.timeoutMs === 0) return
    deadline = setTimeout(() => {
      cancel()
      const message = `not done within ${step.timeoutMs / 1000} s`
      finish({ ok: false, failure: { reason: 'timeout', step, message } })
    }, step.timeoutMs)
  }
  run(0, socket)
  return () => {
    if (over) return
    over = true
    clearTimeout(deadline)
    cancelStep()
  }
}

/**
 * Begins to read from a client during a step, into the socket's own buffer and no further than that holds.
 * @param readable called when there is something to read.
 * @param gone called when the client has sent its FIN or the socket is closed; nothing is called after it.
 * @returns stops the calls.
 */
export function watchClient(socket: Socket, readable: () => void, gone: () => void): () => void {
  const stop = () => {
    socket.off('readable', readable)
    socket.off('end', left)
    socket.off('close', left)
  }
  const left = () => {
    stop()
    gone()
  }
  socket.on('end', left)
  socket.on('close', left)
  socket.on('readable', readable)
  return stop
}
