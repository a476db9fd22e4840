import path from 'node:path'
import { type Configuration, configurationWithoutFile } from '../config/configuration.ts'
import { readConfiguration, readConfigurationText } from '../config/load.ts'
import { ControlRefusal } from '../control/protocol.ts'
import { type ControlServer, ControlSocketHeld, holdControlSocket } from '../control/server.ts'
import { orderHandler } from '../orders/socket.ts'
import { sweepTemporaries } from '../os/atomic-file.ts'
import { wallTime } from '../os/clock.ts'
import { isContainerConsole } from '../os/container-console.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { version } from '../os/version.ts'
import { absolutePath } from '../os/working-directory.ts'
import { ownIdentity } from '../process/identity.ts'
import { ConfigurationChanges } from '../record/configuration-changes.ts'
import { type MonitorIdentity, monitorIdentity } from '../record/shapes/control.ts'
import {
  fileNames,
  keepStateDirectory,
  openToOthersInWords,
  prepareStateDirectory,
} from '../record/state-directory.ts'
import type { FirstConfiguration } from './in-force.ts'
import { Monitor, type MonitorOptions } from './monitor.ts'
import { loadKinds } from './wanted-units.ts'

/**
 * Runs the watchdog until SIGTERM, SIGINT or an order to end; resolves with the exit code.
 * @throws Failure when it cannot start: another one runs (69), the configuration or the state directory is not usable (78).
 */
export async function runMonitor(options: MonitorOptions): Promise<number> {
  // The folder that it is relative to may be removed or replaced while the monitor runs.
  const file = options.configurationFile === undefined ? undefined : absolutePath(options.configurationFile)
  const first = await firstConfiguration(file, options)
  const { configuration } = first
  prepareStateDirectory(options.stateDirectory)
  sweepTemporaries(options.stateDirectory)
  const startedAt = wallTime()
  let monitor: Monitor | undefined
  const control = await holdSocket(options.stateDirectory, startedAt, () => monitor)
  const guard = guardFiles(options.stateDirectory, control, () => monitor)
  try {
    if (process.stdout.isTTY && !isContainerConsole())
      await showGateTokens(configuration, options.stateDirectory)
    const kinds = await loadKinds(configuration)
    monitor = new Monitor({ ...options, configurationFile: file }, first, kinds, startedAt)
    // Node then ends the process, as without this listener.
    process.once('uncaughtExceptionMonitor', (error) => monitor?.crashed(error))
    await monitor.run()
    return exitCode.ok
  } finally {
    clearInterval(guard)
    control.close()
  }
}

async function firstConfiguration(
  file: string | undefined,
  { gate, stateDirectory }: MonitorOptions,
): Promise<FirstConfiguration> {
  if (file === undefined)
    return { configuration: configurationWithoutFile(gate), source: undefined, setAside: [] }
  const changes = new ConfigurationChanges(stateDirectory)
  const source = changes.beside({ file, text: readConfigurationText(file) })
  const { configuration, setAside } = await readConfiguration(source)
  return { configuration, source, setAside }
}

const removedFolder = 'a folder that was removed'

function workingDirectory(): string {
  try {
    return process.cwd()
  } catch {
    return removedFolder
  }
}

/** ms between two looks at the monitor's own files. */
const guardLookMs = 2000

/**
 * The state directory may be cleaned away under a running monitor, as a whole or file by file. Who holds the control socket there is the one
 * monitor, so it is held again. Where that cannot be, the monitor watches on and remembers; when another monitor has the name by then, this
 * one ends.
 */
function guardFiles(stateDirectory: string, control: ControlServer, monitor: () => Monitor | undefined) {
  let wasOpenToOthers = false
  let isLooking = false
  const look = async () => {
    const running = monitor()
    if (running === undefined) return
    try {
      const isOpenToOthers = keepStateDirectory(stateDirectory)
      if (isOpenToOthers && !wasOpenToOthers) running.warn(openToOthersInWords(stateDirectory))
      wasOpenToOthers = isOpenToOthers
      if (!control.isHeld()) {
        await control.holdAgain()
        running.recordsWereRemoved()
      }
    } catch (error) {
      if (error instanceof ControlSocketHeld) return running.giveWay(heldInWords(error, stateDirectory))
      running.recordsFail(errorText(error))
    }
    running.keepRecords()
  }
  return setInterval(() => {
    if (isLooking) return
    isLooking = true
    void look().finally(() => {
      isLooking = false
    })
  }, guardLookMs)
}

/** A person at the terminal is about to log in. The token goes to nobody else, and into no log. */
async function showGateTokens({ forwards }: Configuration, stateDirectory: string): Promise<void> {
  const gated = forwards.filter(({ options }) => options.gate !== '')
  if (gated.length === 0) return
  const { loadGateSecrets } = await import('../forward/gate/login.ts')
  const namesByToken = new Map<string, string[]>()
  for (const { name, options } of gated) {
    const { token } = loadGateSecrets(stateDirectory, options.gateTokenFile)
    namesByToken.set(token, [...(namesByToken.get(token) ?? []), name])
  }
  for (const [token, names] of namesByToken) {
    process.stdout.write(`Login token for ${names.join(', ')}: ${token}\n`)
  }
}

async function holdSocket(stateDirectory: string, startedAt: string, monitor: () => Monitor | undefined) {
  const identity: MonitorIdentity = {
    role: 'monitor',
    identity: ownIdentity(),
    version,
    startedAt,
    workingDirectory: workingDirectory(),
  }
  try {
    return await holdControlSocket(path.join(stateDirectory, fileNames.monitorSocket), {
      identify: () => identity,
      // The records as they would be written now: the file may be old because the disk is full.
      state: () => monitor()?.runtimeState() ?? null,
      order: orderHandler(() => monitor()?.ordered),
      // For proxy-monitor --stop of a version before orders.
      stop: ({ stopForwards }) => {
        const running = monitor()
        if (running === undefined)
          throw new ControlRefusal('starting', 'the monitor is only starting', 'try again')
        running.end(stopForwards === true, 'proxy-monitor --stop')
        return null
      },
    })
  } catch (error) {
    if (!(error instanceof ControlSocketHeld)) throw error
    throw new Failure(heldInWords(error, stateDirectory), exitCode.unavailable)
  }
}

function heldInWords({ holder }: ControlSocketHeld, stateDirectory: string): string {
  const known = monitorIdentity.read(holder)
  const who =
    known === undefined
      ? 'and does not answer'
      : `as PID ${known.identity.pid} since ${known.startedAt}, started in ${known.workingDirectory}`
  return `a monitor already runs here, ${who}; see proxy-status --state-dir ${stateDirectory}`
}
