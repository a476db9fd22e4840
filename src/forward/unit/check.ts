import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { ForwardOptions } from '../../config/forward-options.ts'
import type { ControlClient } from '../../control/client.ts'
import type { Linked } from '../../control/link.ts'
import { errorCode } from '../../os/failure.ts'
import { ShortageError } from '../../os/shortage.ts'
import { timeLimit } from '../../os/time-limit.ts'
import { isElsewhere, isExiting } from '../../process/identity.ts'
import { judgePidFile, type PidFile, readPidFile } from '../../record/pid-file.ts'
import { forwarderIdentity } from '../../record/shapes/control.ts'
import {
  type ForwarderHealth,
  forwarderHealth,
  type ListeningAddress,
} from '../../record/shapes/forwarder-health.ts'
import type { ForwardCheck } from './diagnose.ts'

/**
 * ms that a forwarder may take to answer on its control socket; asked twice before it counts as silent, which together with a round of
 * 10 s keeps the finding of a hang below 15 s.
 */
const answerWithinMs = 1500

/** ms within which a probe of the listener must be accepted. */
const acceptWithinMs = 2000

export interface CheckInput {
  readonly options: ForwardOptions
  readonly pidFile: string
  /** Gives the open control connection, a new one when the last has ended, or says why there is none. */
  readonly connect: () => Promise<Linked>
  /** Rises with every check: another bound address is probed each time. */
  readonly turn: number
}

/** Looks that may be begun anew because the forwarder ended the connection. It does so once when it begins to drain, and once when it hands over. */
const mostLooks = 3

/**
 * Looks at one forward: process, event loop, listener, target. Takes a few ms when it is well, a few seconds when it hangs: each question has
 * its own limit. A forwarder that ends the connection in the middle has begun to drain, or has died: the look is begun anew, because half of
 * what it saw is no longer so.
 */
export async function checkForward(input: CheckInput): Promise<ForwardCheck> {
  for (let looks = 1; ; looks++) {
    const found = await look(input, await input.connect())
    if (found !== 'changed') return found
    if (looks === mostLooks) return lookWithoutAnswer(input, 'absent')
  }
}

async function look(input: CheckInput, connection: Linked): Promise<ForwardCheck | 'changed'> {
  const { options } = input
  const before = pidFileFacts(readPidFile(input.pidFile))
  // A stopped process answers nobody: there is nothing to wait for.
  const isStopped = before.kind === 'process' && before.verdict === 'stopped'
  const asked =
    typeof connection === 'string' ? connection : isStopped ? 'silent' : await askHealth(connection)
  if (asked === 'changed') return 'changed'
  if (typeof asked === 'string' || typeof connection === 'string') {
    return lookWithoutAnswer(input, typeof asked === 'string' ? asked : 'silent')
  }
  const { addresses } = asked.health.listen
  const address = addresses[input.turn % Math.max(1, addresses.length)]
  const listener = address === undefined ? 'unprobed' : await probeListener(connection, address)
  if (listener === 'changed') return 'changed'
  // It may have begun to drain since it answered: then it listens no more, and rightly.
  if (listener === 'refused' && (await hasChanged(connection, asked.health))) return 'changed'
  const pidFile = pidFileFacts(readPidFile(input.pidFile))
  // Stopped since it answered: that is what is to be told, not what became of the probe.
  if (listener === 'silent' && pidFile.kind === 'process' && pidFile.verdict === 'stopped') {
    return { pidFile, control: 'silent', ...unanswered, isElsewhere: false }
  }
  return {
    pidFile,
    control: 'answered',
    health: asked.health,
    isElsewhere: isElsewhere(asked.health.identity),
    optionsMatch: isDeepStrictEqual(asked.options, options),
    listener,
  }
}

const unanswered = { health: undefined, optionsMatch: true, listener: 'unprobed' } as const

async function lookWithoutAnswer(
  { pidFile: file }: CheckInput,
  control: 'absent' | 'silent',
): Promise<ForwardCheck> {
  const pidFile = await factsOfWhoIsThere(file)
  const read = readPidFile(file)
  if (read.kind === 'unreadable') throw new ShortageError(read.shortage)
  return { pidFile, control, ...unanswered, isElsewhere: isNamedElsewhere(pidFile) }
}

/** Whether the forwarder has ended the connection since it said this of itself, or drains now. */
async function hasChanged(connection: ControlClient, before: ForwarderHealth): Promise<boolean> {
  if (before.draining) return false
  const now = await askHealth(connection)
  return now === 'changed' || (typeof now !== 'string' && now.health.draining)
}

/** Whether a request failed because the other side ended the connection; if so, that is over when this resolves. */
async function hasEnded(connection: ControlClient, error: unknown): Promise<boolean> {
  if (errorCode(error) !== 'ECONNRESET') return false
  await connection.closed
  return true
}

function isNamedElsewhere(pidFile: ForwardCheck['pidFile']): boolean {
  return pidFile.kind === 'process' && pidFile.identity !== undefined && isElsewhere(pidFile.identity)
}

interface Asked {
  readonly health: ForwarderHealth
  readonly options: unknown
}

async function askHealth(connection: ControlClient): Promise<Asked | 'silent' | 'absent' | 'changed'> {
  for (const _attempt of [1, 2]) {
    try {
      const health = forwarderHealth.read(await connection.request('health', {}, answerWithinMs))
      // It is held by somebody, and what that says is of no use.
      if (health === undefined) return 'silent'
      const identity = forwarderIdentity.read(await connection.request('identify', {}, answerWithinMs))
      if (identity === undefined) return 'silent'
      return { health, options: JSON.parse(identity.options) }
    } catch (error) {
      // A connection that was closed tells of an end, not of a hang.
      if (await hasEnded(connection, error)) return 'changed'
      if (errorCode(error) !== 'ETIMEDOUT') return 'absent'
    }
  }
  return 'silent'
}

/** ms between two looks at a process that is about to be gone, and how long that may take. */
const exitLookMs = 5
const exitWithinMs = 1000

/**
 * A process that is killed loses its sockets before it is gone. Whoever looks in between sees a living one that cannot be asked, so
 * its end is waited for.
 */
async function factsOfWhoIsThere(file: string): Promise<ForwardCheck['pidFile']> {
  for (let waited = 0; ; waited += exitLookMs) {
    const facts = pidFileFacts(readPidFile(file))
    const isLeaving = facts.kind === 'process' && facts.identity !== undefined && isExiting(facts.identity)
    if (!isLeaving || facts.verdict !== 'alive' || waited >= exitWithinMs) return facts
    await setTimeout(exitLookMs)
  }
}

function pidFileFacts(file: PidFile): ForwardCheck['pidFile'] {
  switch (file.kind) {
    case 'missing':
      return { kind: 'missing' }
    case 'unreadable':
      return { kind: 'unreadable' }
    case 'invalid':
      return { kind: 'invalid', why: file.why }
    case 'legacy':
      return {
        kind: 'process',
        pid: file.pid,
        identity: undefined,
        verdict: judgePidFile(file) ?? 'unverifiable',
      }
    case 'identified': {
      const { identity } = file
      return { kind: 'process', pid: identity.pid, identity, verdict: judgePidFile(file) ?? 'unverifiable' }
    }
  }
}

/**
 * Connects to an address that the forwarder says it bound, from a source port told to it beforehand. The forwarder resets such
 * a connection at once; the kernel's backlog, which accepts for a stopped process too, does not.
 */
async function probeListener(
  connection: ControlClient,
  { address, port }: ListeningAddress,
): Promise<ForwardCheck['listener'] | 'changed'> {
  for (const _attempt of [1, 2, 3]) {
    const sourcePort = randomSourcePort()
    try {
      await connection.request('expect-probe', { port: sourcePort }, answerWithinMs)
    } catch (error) {
      // It answered a moment ago: it has begun to hang meanwhile.
      if (await hasEnded(connection, error)) return 'changed'
      return errorCode(error) === 'ETIMEDOUT' ? 'silent' : 'unprobed'
    }
    const outcome = await probeFrom(sourcePort, reachable(address), port)
    if (outcome !== 'source-port-taken') return outcome
  }
  return 'unprobed'
}

/** Below the kernel's ephemeral range (32768 on) and above what servers use, so that it is nearly always free. */
function randomSourcePort(): number {
  return 20_000 + Math.floor(Math.random() * 10_000)
}

/** An address to connect to for one to bind: a listener on all addresses is reached over loopback. */
function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  return address === '::' ? '::1' : address
}

function probeFrom(
  localPort: number,
  host: string,
  port: number,
): Promise<ForwardCheck['listener'] | 'source-port-taken'> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localPort, autoSelectFamily: false })
    let connected = false
    const inTime = timeLimit(acceptWithinMs, () => finish('silent'))
    const finish = (outcome: ForwardCheck['listener'] | 'source-port-taken') => {
      inTime()
      socket.destroy()
      resolve(outcome)
    }
    socket.on('connect', () => {
      connected = true
    })
    socket.on('error', (error) => {
      const code = errorCode(error)
      if (connected || code === 'ECONNRESET') return finish('accepting')
      if (code === 'EADDRINUSE' || code === 'EADDRNOTAVAIL') return finish('source-port-taken')
      // Any other error is this process's own: without a descriptor (EMFILE) for example it learns nothing of the listener.
      finish(code === 'ECONNREFUSED' ? 'refused' : 'unprobed')
    })
    socket.on('close', () => finish(connected ? 'accepting' : 'refused'))
    socket.resume()
  })
}
