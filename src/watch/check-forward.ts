import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { ForwardOptions } from '../config/forward-options.ts'
import type { ControlClient } from '../control/client.ts'
import { errorCode } from '../os/failure.ts'
import { isElsewhere, isExiting } from '../os/process-identity.ts'
import { ShortageError } from '../os/shortage.ts'
import { timeLimit } from '../os/time-limit.ts'
import { type ForwarderHealth, isForwarderHealth, type ListeningAddress } from '../record/forwarder-health.ts'
import { judgePidFile, type PidFile, readPidFile } from '../record/pid-file.ts'
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
  /** The open control connection, or why there is none. */
  readonly connection: ControlClient | 'absent' | 'silent'
  /** Rises with every check: another bound address is probed each time. */
  readonly turn: number
  readonly portHolder: string | undefined
}

/** Looks at one forward: process, event loop, listener, target. Takes a few ms when it is well, a few seconds when it hangs: each question has its own limit. */
export async function checkForward(input: CheckInput): Promise<ForwardCheck> {
  const { connection, options } = input
  const before = pidFileFacts(readPidFile(input.pidFile))
  // A stopped process answers nobody: there is nothing to wait for.
  const isStopped = before.kind === 'process' && before.verdict === 'stopped'
  const asked =
    typeof connection === 'string' ? connection : isStopped ? 'silent' : await askHealth(connection)
  const unanswered = { health: undefined, optionsMatch: true, listener: 'unprobed' } as const
  if (typeof asked === 'string' || typeof connection === 'string') {
    const control = typeof asked === 'string' ? asked : 'silent'
    const pidFile = await factsOfWhoIsThere(input.pidFile)
    const read = readPidFile(input.pidFile)
    if (read.kind === 'unreadable') throw new ShortageError(read.shortage)
    return {
      pidFile,
      control,
      ...unanswered,
      isElsewhere: isNamedElsewhere(pidFile),
      portHolder: input.portHolder,
    }
  }
  const { addresses } = asked.health.listen
  const address = addresses[input.turn % Math.max(1, addresses.length)]
  const listener = address === undefined ? 'unprobed' : await probeListener(connection, address)
  const pidFile = pidFileFacts(readPidFile(input.pidFile))
  // Stopped since it answered: that is what is to be told, not what became of the probe.
  if (listener === 'silent' && pidFile.kind === 'process' && pidFile.verdict === 'stopped') {
    return { pidFile, control: 'silent', ...unanswered, isElsewhere: false, portHolder: input.portHolder }
  }
  return {
    pidFile,
    control: 'answered',
    health: asked.health,
    isElsewhere: isElsewhere(asked.health.identity),
    optionsMatch: isDeepStrictEqual(asked.options, options),
    listener,
    portHolder: input.portHolder,
  }
}

function isNamedElsewhere(pidFile: ForwardCheck['pidFile']): boolean {
  return pidFile.kind === 'process' && pidFile.identity !== undefined && isElsewhere(pidFile.identity)
}

interface Asked {
  readonly health: ForwarderHealth
  readonly options: unknown
}

async function askHealth(connection: ControlClient): Promise<Asked | 'silent' | 'absent'> {
  for (const _attempt of [1, 2]) {
    try {
      const health = await connection.request('health', {}, answerWithinMs)
      // It is held by somebody, and what that says is of no use.
      if (!isForwarderHealth(health)) return 'silent'
      const { options } = (await connection.request('identify', {}, answerWithinMs)) as { options: string }
      return { health, options: JSON.parse(options) }
    } catch (error) {
      // A connection that was closed tells of an end, not of a hang.
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
): Promise<ForwardCheck['listener']> {
  for (const _attempt of [1, 2, 3]) {
    const sourcePort = randomSourcePort()
    try {
      await connection.request('expect-probe', { port: sourcePort }, answerWithinMs)
    } catch (error) {
      // It answered a moment ago: it has begun to hang meanwhile.
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
