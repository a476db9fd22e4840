import { existsSync } from 'node:fs'
import path from 'node:path'
import { contradictionIn } from '../config/contradiction.ts'
import { type ForwardOptions, looksForInspector } from '../config/forward-options.ts'
import { flagOf } from '../config/option-table.ts'
import { targetProgram } from '../config/values.ts'
import { invalidArgument } from '../control/protocol.ts'
import {
  type CommandHandlers,
  type ControlServer,
  ControlSocketHeld,
  holdControlSocket,
} from '../control/server.ts'
import type { Log } from '../log/index.ts'
import { isContainerConsole } from '../os/container-console.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import { notifyServiceManager } from '../os/service-manager.ts'
import { version } from '../os/version.ts'
import { ownIdentity } from '../process/identity.ts'
import { isFixed, takeInheritance } from '../process/inheritance.ts'
import { sendStartReport } from '../process/start-report.ts'
import type { ProcessSummary } from '../process/summary.ts'
import { KeptFile } from '../record/kept-file.ts'
import { removeOwnPidFile, writePidFile } from '../record/pid-file.ts'
import type { ForwarderIdentity } from '../record/shapes/control.ts'
import { type Instance, instances } from '../record/shapes/forwarder-health.ts'
import { fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { certificateFiles } from '../web/certificate-files.ts'
import { Forwarder, type Sharing } from './forwarder.ts'
import { type ForwarderEvent, logEvent } from './forwarder-events.ts'
import { Succession } from './handover-succession.ts'
import { KeptFiles, type OwnFile } from './kept-files.ts'
import { createAdmission } from './limits/admission.ts'
import type { MetricsServer } from './metrics-server.ts'
import { ProcessLogs } from './process-logs.ts'
import { CannotListen, refuseIfTaken, refuseImpossible, refuseSocketsOfTarget } from './refused-starts.ts'
import type { ServedForward } from './workers/served-forward.ts'
import type { WholeForward, WholeForwardOptions } from './workers/whole-forward.ts'
import { takeWorkerOrder } from './workers/worker-protocol.ts'

export interface ForwarderProcessOptions {
  readonly forward: ForwardOptions
  readonly stateDirectory: string
  /** What a person should hear about the choice of that directory. */
  readonly directoryNote: string | undefined
  /** An inherited descriptor on which the one line of `StartReport` is written, then closed. Undefined = none. */
  readonly reportDescriptor: number | undefined
}

/**
 * Runs one forward as a process: log, control socket, PID file, signals. Resolves with the exit code after a clean end.
 * @throws Failure when it cannot start.
 */
export async function runForwarder(options: ForwarderProcessOptions): Promise<number> {
  const order = takeWorkerOrder(process.env)
  if (order !== undefined) {
    const { runWorker } = await import('./workers/worker.ts')
    return runWorker(order, options.forward, options.stateDirectory)
  }
  try {
    return await run(options)
  } catch (error) {
    const code = error instanceof Failure ? error.exitCode : exitCode.internal
    const system = errorCode(error)
    const why = system === undefined ? {} : { code: system }
    const { message, ...by } = reasonOf(error)
    sendStartReport(options.reportDescriptor, { ready: false, message, exitCode: code, ...why, ...by })
    throw error
  }
}

/** For the starter: who holds the port is data, and not a part of the message. */
function reasonOf(error: unknown): { readonly message: string; readonly holder?: ProcessSummary } {
  if (!(error instanceof CannotListen) || error.holder === undefined) return { message: errorText(error) }
  return { message: error.reason, holder: error.holder }
}

async function run({
  forward,
  stateDirectory,
  directoryNote,
  reportDescriptor,
}: ForwarderProcessOptions): Promise<number> {
  const inheritance = takeInheritance(process.env, process.pid)
  const contradiction = contradictionIn(forward, flagOf)
  if (contradiction !== undefined) throw new Failure(contradiction, exitCode.configuration)
  if (!isFixed(inheritance)) await refuseImpossible(forward)
  prepareStateDirectory(stateDirectory)
  const file = (name: (port: number) => string) => path.join(stateDirectory, name(forward.listenPort))
  const isShared = forward.workers > 1
  const logs = new ProcessLogs(forward, stateDirectory)
  const { log, ended } = logs
  if (directoryNote !== undefined) log.warn(directoryNote)
  const certificate = await certificateFiles(forward, stateDirectory)
  const event = (happened: ForwarderEvent) => logEvent(log, forward, happened)
  const open = (sharing?: Sharing) =>
    new Forwarder(
      forward,
      { event, ended, warnings: () => logs.warnings() },
      inheritance,
      certificate,
      sharing,
    )
  const workersFile = file(fileNames.workers)
  const whole = isShared ? await openWhole({ forward, workersFile, log, event, open }) : undefined
  const forwarder = whole?.own ?? open()
  const served: ServedForward = whole ?? forwarder
  const succession = new Succession(served, inheritance, log)
  const pidFile = file(fileNames.pidFile)
  const keepPidFile = pidFileKeeper(pidFile, log)
  let files: KeptFiles | undefined
  const hold = () => holdSocket(file(fileNames.forwarderSocket), served, succession, () => void files?.look())
  process.on('SIGHUP', () => {
    logs.reopen()
    log.info('SIGHUP: logs were reopened')
    void files?.look()
  })
  // An heir takes the name last of all: until it is ready, the one before must be found there.
  let metrics: MetricsServer | undefined
  let control = succession.isHeir() ? undefined : await hold()
  try {
    const own: OwnFile[] =
      forward.gate === '' ? [] : await openGate(log, forwarder, stateDirectory, succession)
    if (existsSync(workersFile)) await endOrphans(workersFile, forward.listenPort)
    const bound = await forwarder.start()
    if (bound.length === 0) await refuseIfTaken(forwarder)
    if (isFixed(inheritance)) refuseSocketsOfTarget(forward, bound)
    control ??= await hold()
    keepPidFile()
    own.push({ what: 'PID file', keep: () => !existsSync(pidFile) && keepPidFile() })
    if (forward.tlsSelfSigned)
      own.push(
        keptFile(
          'certificate',
          file(() => fileNames.selfSigned),
          true,
        ),
      )
    if (whole !== undefined) own.push({ what: 'record of the workers', keep: () => whole.keepRecord() })
    const isKeeper = () => !succession.isSuperseded && !succession.isEnding
    files = new KeptFiles({ stateDirectory, log, logs, control, isKeeper, files: own })
    warnOfOpenDoor(log, forward)
    for (const warning of forwarder.health().warnings) {
      // The logs tell of themselves.
      if (!logs.warnings().includes(warning)) log.warn(`Port ${forward.listenPort}: ${warning}`)
    }
    sendStartReport(reportDescriptor, { ready: true })
    if (forward.metrics !== '') metrics = await openMetrics(log, served)
    notifyServiceManager('READY=1')
    whole?.startWorkers()
    if (looksForInspector(forward)) await forwarder.watchForInspector()
    await succession.end((hasSuccessor) => {
      if (hasSuccessor) metrics?.close()
      // A monitor that is connected learns at once that this process takes no more connections.
      control?.endConnections()
    })
    return exitCode.ok
  } finally {
    files?.close()
    forwarder.close()
    whole?.dispose()
    metrics?.close()
    removeOwnPidFile(pidFile)
    control?.close()
  }
}

async function openWhole(options: WholeForwardOptions): Promise<WholeForward> {
  const { WholeForward } = await import('./workers/whole-forward.ts')
  return new WholeForward(options)
}

async function endOrphans(workersFile: string, port: number): Promise<void> {
  const { endOrphans } = await import('./workers/worker-record.ts')
  await endOrphans(workersFile, port)
}

/**
 * Writes the PID file; true when it could. A forward works without one, on a full disk for example, because its control socket says who it is; the file is
 * written at a later look.
 */
function pidFileKeeper(file: string, log: Log): () => boolean {
  let isFailing = false
  return () => {
    try {
      writePidFile(file)
      isFailing = false
    } catch (error) {
      if (!isFailing) log.warn(`The PID file cannot be written: ${errorText(error)}; tried again later`)
      isFailing = true
    }
    return !isFailing
  }
}

function keptFile(what: string, file: string, follows: boolean): OwnFile {
  const kept = new KeptFile(file, follows)
  return { what, keep: () => kept.keep() }
}

async function holdSocket(
  socketPath: string,
  forwarder: ServedForward,
  succession: Succession,
  onLook: () => void,
): Promise<ControlServer> {
  const { listenPort } = forwarder.options
  try {
    const handlers: CommandHandlers = {
      identify: () => ({ ...identification(forwarder.options), ...endingOf(succession) }),
      health: async () => {
        onLook()
        return { ...(await forwarder.health()), ...endingOf(succession) }
      },
      'expect-probe': ({ port }) => {
        if (typeof port !== 'number')
          throw invalidArgument('expect-probe needs the source port of the probe as "port"')
        return forwarder.expectProbe(port)
      },
      connections: () => forwarder.connections(),
      kill: async (order) => ({ killed: await forwarder.kill(killOrder(order)) }),
      metrics: async () => (await import('./metrics.ts')).exposition(await forwarder.health()),
      'set-targets': ({ ready }) => forwarder.setInstances(readyInstances(ready, forwarder.options)),
      'hand-over': (order) => succession.handOver(order),
      drain: (order) => succession.drain(order),
    }
    return await holdControlSocket(socketPath, handlers, () => succession.isHeir())
  } catch (error) {
    if (!(error instanceof ControlSocketHeld)) throw error
    const holder = error.holder as Partial<ForwarderIdentity> | undefined
    const who = holder?.identity === undefined ? 'but does not answer' : `as PID ${holder.identity.pid}`
    throw new Failure(
      `a forwarder for port ${listenPort} already runs, ${who}; see proxy-status, or choose another --state-dir`,
      exitCode.unavailable,
    )
  }
}

function endingOf({ isEndedBySignal }: Succession): Pick<ForwarderIdentity, 'endedBySignal'> {
  return isEndedBySignal ? { endedBySignal: true } : {}
}

/** What `set-targets` says: the processes of the forward's program that get new connections. */
function readyInstances(given: unknown, { targetHost }: ForwardOptions): readonly Instance[] {
  if (targetProgram(targetHost) === undefined)
    throw invalidArgument('set-targets is for a forward that leads to a program')
  const ready = instances.read(given)
  if (ready === undefined)
    throw invalidArgument('set-targets needs the ready processes as "ready", each with "name" and "port"')
  return ready
}

/** `id` is the request's own number, so a connection is named otherwise. */
function killOrder({
  connection,
  source,
}: Readonly<Record<string, unknown>>): { id: number } | { source: string } {
  if (typeof connection === 'number' && source === undefined) return { id: connection }
  if (typeof source === 'string' && connection === undefined) return { source }
  throw invalidArgument('kill needs the number of a connection as "connection", or an address as "source"')
}

function identification(options: ForwardOptions): ForwarderIdentity {
  return { role: 'forwarder', identity: ownIdentity(), version, options: JSON.stringify(options) }
}

function warnOfOpenDoor(log: Log, { allow, listenPort }: ForwardOptions): void {
  if (!allow.includes('any')) return
  log.warn(
    `Port ${listenPort} admits every source (--allow any): anybody who reaches this machine reaches the target`,
  )
}

/**
 * The token is shown to a person at a terminal and written to no log.
 * @returns the files that the gate works with, by what they hold now.
 */
async function openGate(
  log: Log,
  forwarder: Forwarder,
  stateDirectory: string,
  succession: Succession,
): Promise<OwnFile[]> {
  const { loadGateSecrets } = await import('./gate/index.ts')
  const secrets = loadGateSecrets(stateDirectory, forwarder.options.gateTokenFile)
  await forwarder.putUpGate(secrets, stateDirectory)
  log.info(`Gate: visitors log in with the token in ${secrets.tokenPlace}`)
  if (process.stdout.isTTY && !isContainerConsole()) process.stdout.write(`Gate token: ${secrets.token}\n`)
  const file = (name: string) => path.join(stateDirectory, name)
  const files = [keptFile('gate_key', file(fileNames.gateKey), false)]
  if (secrets.tokenPlace === file(fileNames.gateToken))
    files.push(keptFile('gate_token', secrets.tokenPlace, false))
  // A gate that takes no more visitors leaves the family.
  const entry = keptFile('entry of the gate', file(fileNames.gate(forwarder.options.listenPort)), false)
  files.push({ ...entry, keep: () => !succession.isEnding && entry.keep() })
  return files
}

/** Loaded only now: a forwarder that nobody scrapes starts without it. */
async function openMetrics(log: Log, forwarder: ServedForward): Promise<MetricsServer> {
  const { serveMetrics } = await import('./metrics-server.ts')
  const admission = createAdmission(forwarder.options.allow)
  const hosts = forwarder.options.gateHost
  const source = { health: () => forwarder.health(), admission, hosts, log }
  return serveMetrics(forwarder.options.metrics, source)
}
