/**
 * gateway/: many MCP servers ("connectors") behind one door (`mcp-proxy`), whatever generation of the protocol the client and the server
 * speak. It relays: a message goes through as it was written, but for its id, its progress token and the name of what it asks for.
 *
 *   client -> face/ (stdin and stdout: lines.ts; another process of this user: attach.ts; HTTP: http.ts, then legacy.ts or modern.ts)
 *          -> access.ts: who is it (Principal)
 *          -> Session (session.ts): answered from the gateway's own state (initialize, lists), or
 *          -> Directory (directory.ts): which server a name leads to (Route)
 *          -> Upstream (upstream/index.ts): started when it is needed, once
 *          -> Connection (upstream/connection.ts): numbers of requests, and what a server asks meanwhile
 *          -> Wire (upstream/*-wire.ts) -> the server, and back the same way
 *
 * protocol/ knows JSON-RPC and the revisions; gateway-core.ts holds what all faces share. One file, one behaviour. To add
 *   - a way to reach servers: a `Wire`, and a line of `wireOf` in upstream/index.ts;
 *   - a way in: a file of face/ that makes a `Session` and gives it messages;
 *   - a method of the protocol: a line of `#answer` in session.ts. What is not named there goes to the server, when there is but one.
 * Loaded by `mcp-proxy` alone: a process of its own, so that its faults never touch the watchdog.
 */
import path from 'node:path'
import type { ConnectorConfiguration } from '../config/connector-configuration.ts'
import type { HttpOptions } from '../config/http-options.ts'
import { type ControlServer, ControlSocketHeld, holdControlSocket } from '../control/server.ts'
import type { Level, Log } from '../log/index.ts'
import { defaultLogLimits, LineLog } from '../log/line-log.ts'
import { pinoLog } from '../log/pino-log.ts'
import { redactor } from '../log/redaction.ts'
import { RingLog } from '../log/ring-log.ts'
import { sweepTemporaries } from '../os/atomic-file.ts'
import { wallTime } from '../os/clock.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { version } from '../os/version.ts'
import { ownIdentity } from '../process/identity.ts'
import { demandOwnDirectory, fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { Access } from './access.ts'
import { attach, receiveClients } from './face/attach.ts'
import { type HttpFace, serveHttp } from './face/http.ts'
import { serveLines } from './face/lines.ts'
import { GatewayCore } from './gateway-core.ts'
import { owner } from './principal.ts'
import { gatewayState, type StateFacts, writeGatewayState } from './state-file.ts'
import type { Upstream } from './upstream/index.ts'
import { endLeftovers } from './upstream/leftovers.ts'

export interface GatewayOptions {
  readonly stateDirectory: string
  /** Those that are served, enabled ones alone. */
  readonly connectors: readonly ConnectorConfiguration[]
  /** Their ids, where a person has named them; undefined = all. */
  readonly chosen: readonly string[] | undefined
  /** ms that the start of one connector may take. */
  readonly startTimeoutMs: number
  /** Undefined = stdin and stdout are the client. */
  readonly http: HttpOptions | undefined
  readonly strict: boolean
  readonly allowNone: boolean
  readonly level: Level
  /** For people: stderr, where stdout is the client's. */
  readonly say: (line: string) => void
  /** Gets the lines of the log as well. */
  readonly echo: (line: string) => void
}

/** ms between two signs of life. */
const heartbeatMs = 5000

/** ms that running calls have to end. The whole end takes 9 s at most: some platforms kill after 10. */
const finishMs = 5000
const endMs = 9000

/**
 * Runs the gateway until its client or a signal ends it. Without HTTP it joins the one that runs already, where there is one.
 * @returns the exit code. @throws Failure when it cannot start.
 */
export async function runGateway(options: GatewayOptions): Promise<number> {
  const { stateDirectory, http } = options
  prepareStateDirectory(stateDirectory)
  const clientsFile = path.join(stateDirectory, fileNames.gatewayClients)
  if (http === undefined) {
    const wish = options.chosen === undefined ? {} : { connectors: options.chosen }
    const attached = await attach(clientsFile, wish, process.stdin, process.stdout)
    if (attached?.ok === true) {
      options.say('Joined the gateway that runs already')
      const how = await attached.over
      if (how === 'gateway-gone')
        throw new Failure('the gateway that this client used has ended', exitCode.unavailable)
      return exitCode.ok
    }
    if (attached?.ok === false) throw new Failure(attached.error, exitCode.usage)
  }
  const control = await holdSocket(stateDirectory)
  try {
    return await serve(options, clientsFile)
  } finally {
    control.close()
  }
}

async function holdSocket(stateDirectory: string): Promise<ControlServer> {
  const identity = { role: 'gateway', identity: ownIdentity(), version, startedAt: wallTime() }
  try {
    return await holdControlSocket(path.join(stateDirectory, fileNames.gatewaySocket), {
      identify: () => identity,
    })
  } catch (error) {
    if (!(error instanceof ControlSocketHeld)) throw error
    const what = `a gateway already runs in ${stateDirectory}; see mcp-proxy status --state-dir ${stateDirectory}`
    throw new Failure(what, exitCode.unavailable)
  }
}

async function serve(options: GatewayOptions, clientsFile: string): Promise<number> {
  const { stateDirectory, connectors, http, say } = options
  sweepTemporaries(stateDirectory)
  say('Starting MCP proxy server...')
  const access = http === undefined ? undefined : new Access({ stateDirectory, allowNone: options.allowNone })
  const { log, ring } = openLog(options, access?.first?.key)
  const left = await endLeftovers()
  if (left.length > 0) log.warn(`Ended what a gateway that was killed has left of ${left.join(', ')}`)
  const core = new GatewayCore({ connectors, log, startTimeoutMs: options.startTimeoutMs })
  const facts: StateFacts = {
    mode: http === undefined ? 'stdio' : 'http',
    startedAt: wallTime(),
    url: () => (face === undefined ? null : `${face.url}/mcp`),
    keyFile: access?.first?.file ?? null,
    level: options.level,
    bufferedLines: () => ring.count,
  }
  const state = () => gatewayState(core, facts)
  const face: HttpFace | undefined =
    http === undefined || access === undefined
      ? undefined
      : await serveHttp({ core, access, http, strict: options.strict, stateDirectory, state })
  const beat = () => writeGatewayState(stateDirectory, state())
  const leave = await receiveClients(clientsFile, core)
  beat()
  const beating = setInterval(beat, heartbeatMs)
  const ended = untilSignal()
  const over = new Promise<void>((resolve) => void ended.then(() => resolve()))
  tellFirstKey(access, options)
  if (face !== undefined) say(`Serving MCP at ${face.url}/mcp`)
  const started = core
    .start((upstream) => tellStart(upstream, options, log))
    .then(() => {
      const count = core.upstreams.filter(({ state }) => state === 'ready').length
      const line = `Proxy started with ${count} connector(s)`
      log.info(line)
      say(line)
      beat()
    })
  const directory = core.directoryFor(owner)
  if (http === undefined && directory !== undefined) {
    const session = (unsolicited: (text: string) => boolean) => core.newSession(owner, directory, unsolicited)
    // Other clients may have joined this gateway: it goes on until the last of them has left.
    const clients = serveLines({ session, input: process.stdin, output: process.stdout }).then(() =>
      lastHasLeft(core),
    )
    await Promise.race([over, clients])
  } else {
    await over
  }
  void started
  log.info('The gateway ends')
  const late = setTimeout(() => process.exit(exitCode.ok), endMs)
  late.unref()
  clearInterval(beating)
  leave()
  await core.close(finishMs)
  await face?.close()
  access?.close()
  writeGatewayState(stateDirectory, gatewayState(core, facts, true))
  return exitCode.ok
}

function openLog({ stateDirectory, level, echo }: GatewayOptions, key: string | undefined) {
  const demandDirectory = (directory: string) => demandOwnDirectory(directory)
  const lines = new LineLog(path.join(stateDirectory, fileNames.gatewayLog), {
    ...defaultLogLimits,
    demandDirectory,
  })
  const ring = new RingLog(path.join(stateDirectory, fileNames.gatewayRing), demandDirectory)
  const log: Log = pinoLog({ lines, ring, echo, level, redact: redactor(key === undefined ? [] : [key]) })
  return { log, ring }
}

function tellStart(upstream: Upstream, { say }: GatewayOptions, log: Log): void {
  const { id, state, offering, problem } = upstream
  const isReady = state === 'ready'
  const line = isReady
    ? `Connector '${id}' ready (${offering.tools.length} tools)`
    : `Connector '${id}' failed: ${problem ?? 'unknown'}`
  say(line)
  // Why it failed is in the log already.
  if (isReady) log.info({ unit: id, good: true }, line)
}

/** Shown once, and to a person alone: it goes into no log. */
function tellFirstKey(access: Access | undefined, { say }: GatewayOptions): void {
  const first = access?.first
  if (first === undefined || !first.isNew) return
  say(
    process.stdout.isTTY
      ? `Key for clients (X-API-Key): ${first.key}`
      : `The key for clients is in ${first.file}`,
  )
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => resolve())
  })
}

/** ms between two looks at whether clients are left. */
const lookEveryMs = 200

async function lastHasLeft({ sessions }: GatewayCore): Promise<void> {
  while (sessions.size > 0) await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
}
