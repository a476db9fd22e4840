import path from 'node:path'
import { type Configuration, defaultConfiguration } from '../config/configuration.ts'
import { loadConfiguration } from '../config/load.ts'
import { ControlSocketHeld, holdControlSocket } from '../control/server.ts'
import { wallTime } from '../os/clock.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { ownIdentity, type ProcessIdentity } from '../os/process-identity.ts'
import { version } from '../os/version.ts'
import { sweepTemporaries } from '../record/atomic-file.ts'
import { heartbeatIntervalMs, type RuntimeState } from '../record/runtime-state.ts'
import { fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { Monitor, type MonitorOptions } from './monitor.ts'

/** What a monitor answers to `identify`. */
export interface MonitorIdentity {
  readonly role: 'monitor'
  readonly identity: ProcessIdentity
  readonly version: string
  readonly startedAt: string
  readonly workingDirectory: string
}

/**
 * Runs the watchdog until SIGTERM or SIGINT; resolves with the exit code.
 * @throws Failure when it cannot start: another one runs (69), the configuration or the state directory is not usable (78).
 */
export async function runMonitor(options: MonitorOptions): Promise<number> {
  const file = options.configurationFile
  const configuration = file === undefined ? defaultConfiguration : await loadConfiguration(file)
  prepareStateDirectory(options.stateDirectory)
  sweepTemporaries(options.stateDirectory)
  const startedAt = wallTime()
  let monitor: Monitor | undefined
  const hold = () => holdSocket(options.stateDirectory, startedAt, () => monitor?.runtimeState())
  let control = await hold()
  // The directory may be cleaned away under a running monitor. Who holds the name there is the one monitor, so it is held again.
  const guard = setInterval(() => {
    if (control.isHeld()) return
    takeAgain(options.stateDirectory, hold).then(
      (again) => {
        control.close()
        control = again
        monitor?.recordsWereRemoved()
      },
      (error) => monitor?.giveWay(errorText(error)),
    )
  }, heartbeatIntervalMs)
  try {
    if (process.stdout.isTTY) await showGateTokens(configuration, options.stateDirectory)
    monitor = new Monitor(options, configuration, startedAt)
    await monitor.run()
    return exitCode.ok
  } finally {
    clearInterval(guard)
    control.close()
  }
}

async function takeAgain<T>(stateDirectory: string, hold: () => Promise<T>): Promise<T> {
  prepareStateDirectory(stateDirectory)
  return await hold()
}

/** A person at the terminal is about to log in. The token goes to nobody else, and into no log. */
async function showGateTokens({ forwards }: Configuration, stateDirectory: string): Promise<void> {
  const gated = forwards.filter(({ options }) => options.gate !== '')
  if (gated.length === 0) return
  const { loadSecrets } = await import('../forward/gate/secrets.ts')
  const namesByToken = new Map<string, string[]>()
  for (const { name, options } of gated) {
    const { token } = loadSecrets(stateDirectory, options.gateTokenFile)
    namesByToken.set(token, [...(namesByToken.get(token) ?? []), name])
  }
  for (const [token, names] of namesByToken) {
    process.stdout.write(`Log in at ${names.join(' and ')} with the token ${token}\n`)
  }
}

async function holdSocket(stateDirectory: string, startedAt: string, state: () => RuntimeState | undefined) {
  const identity: MonitorIdentity = {
    role: 'monitor',
    identity: ownIdentity(),
    version,
    startedAt,
    workingDirectory: process.cwd(),
  }
  try {
    return await holdControlSocket(path.join(stateDirectory, fileNames.monitorSocket), {
      identify: () => identity,
      // The records as they would be written now: the file may be old because the disk is full.
      state: () => state() ?? null,
    })
  } catch (error) {
    if (!(error instanceof ControlSocketHeld)) throw error
    const holder = error.holder as Partial<MonitorIdentity> | undefined
    const who =
      holder?.identity === undefined
        ? 'and does not answer'
        : `as PID ${holder.identity.pid} since ${holder.startedAt}, started in ${holder.workingDirectory}`
    throw new Failure(
      `a monitor already runs here, ${who}; see proxy-status --state-dir ${stateDirectory}`,
      exitCode.unavailable,
    )
  }
}
