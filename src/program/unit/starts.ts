import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'
import { servedPort } from '../../config/instances.ts'
import { type ProgramConfiguration, portOf } from '../../config/program-configuration.ts'
import { errorText } from '../../os/failure.ts'
import { killProcesses, type Recognition } from '../../process/ending.ts'
import type { ProcessIdentity } from '../../process/identity.ts'
import { findPortHolder, identifyPortHolder } from '../../process/port-holder.ts'
import type { StartOnTerminal } from '../../process/pseudo-terminal.ts'
import type { ProcessSummary } from '../../process/summary.ts'
import type { Start, StartOutcome } from '../../watch/unit.ts'
import type { ProgramInput } from '../input/index.ts'
import { KeptOutputError } from '../kept/index.ts'
import type { ProgramOutput } from '../output/index.ts'
import { holderOfLoopback, identifyHolderOfLoopback, portsOf } from '../ready/port.ts'
import { type Holding, ProgramSockets } from '../sockets/index.ts'
import type { ProgramTerminal } from '../terminal/index.ts'
import { withOpenFilesLimit } from './open-files.ts'
import { failedStart, isCommandThere, type ProgramStart, startProgram } from './program-process.ts'
import { runAs } from './run-as.ts'
import type { Runs } from './runs.ts'
import type { ProgramFault } from './vocabulary.ts'

/** ms that a start takes at least of which no process came: with no back-off, nothing else would get its turn between two of them. */
const noProcessTakesMs = 50

/** The outcome of a start that nobody waits for any more. */
const abandoned = failedStart({ code: 'start-given-up' })

/** What the starts of a program need of it. */
export interface StartParts {
  readonly configuration: () => ProgramConfiguration
  readonly output: ProgramOutput
  readonly input: ProgramInput
  readonly terminal: ProgramTerminal
  readonly runs: Runs
  readonly recognises: Recognition
  /** The variables of its processes; a file of them that is gone is left out. */
  readonly environment: () => NodeJS.ProcessEnv
  /** Settles when what it watches for changes is known. */
  readonly filesKnown: () => Promise<unknown>
  /** A start has made it ready. */
  readonly ready: (identity: ProcessIdentity) => void
  /** What was started has ended, and its last words are kept. */
  readonly ended: () => void
  /** Says something that a person should hear. */
  readonly warn: (message: string) => void
}

/** The starts of a program: one at a time, each after what ran before is gone, with what they need held for them: sockets, a terminal, a user. */
export class Starts {
  readonly #parts: StartParts
  readonly #sockets = new ProgramSockets()
  #last: ProgramStart | undefined
  /** Where the process that this monitor has started takes connections; undefined = as the configuration says. */
  #port: number | undefined
  /** The child whose end is yet to be told: its last words are waited for. */
  #untold: number | undefined
  /** That its limit of open files is only watched was told. */
  #saidUnlimited = false
  /** Settles when what did not become ready has been killed. */
  #killed: Promise<void> | undefined
  /** Settles when what was started before is gone. */
  #cleared: Promise<void> = Promise.resolve()

  constructor(parts: StartParts) {
    this.#parts = parts
  }

  /** The port on which what was started takes connections; undefined = nothing was, or it has none. */
  get port(): number | undefined {
    return this.#port
  }

  /** Whether this is the child whose end is yet to be told. */
  isUntold(pid: number): boolean {
    return pid === this.#untold
  }

  /** Settles when what did not become ready has been killed. */
  async killed(): Promise<void> {
    await this.#killed
  }

  /** Settles when what was started before is gone. */
  async settled(): Promise<void> {
    await this.#cleared
  }

  /** Nobody waits for what does not come: the sockets are let go. */
  letGo(): void {
    void this.#sockets.hold([])
  }

  /** @param settled settles when what ran before is gone. */
  start(settled: Promise<void>): Start {
    let isAbandoned = false
    let isLetGo = false
    const starting = Promise.all([settled, this.#parts.filesKnown()]).then(async () => {
      if (isAbandoned) return abandoned
      this.#parts.output.begin()
      const configuration = this.#parts.configuration()
      const held = await this.#sockets.hold(configuration.sockets)
      if (!held.ok) return notHeld(held)
      const terminals = configuration.pty && (await terminalsOrWhy())
      if (isAbandoned) return abandoned
      if (typeof terminals === 'string') return failedStart({ code: 'terminal-missing', why: terminals })
      return this.#start(configuration, held.descriptors, terminals)
    })
    let started: ProgramStart | undefined
    const outcome = starting.then(async (begun): Promise<StartOutcome> => {
      if (begun !== abandoned && !('process' in begun)) await after(noProcessTakesMs)
      if (!('process' in begun))
        return { ...begun, holder: begun.isBlocked ? await this.#identified() : undefined }
      started = begun
      this.#last = begun
      const became = await begun.outcome
      if (became.ok) this.#parts.ready(became.identity)
      // Ended too late to be abandoned, or left something behind: the next start finds nothing of it.
      if (became.ok) return became
      if (!isLetGo) this.#clear(begun)
      return { ...became, holder: became.isBlocked ? await this.#identified() : undefined }
    })
    return {
      get identity() {
        return started?.process?.identity
      },
      outcome,
      exited: starting.then((begun) => ('process' in begun ? begun.ended : undefined)),
      abandon: () => {
        isAbandoned = true
        if (started !== undefined) this.#clear(started)
      },
      letGo: () => {
        isLetGo = true
      },
    }
  }

  /** @returns the start under way, or why there is none. */
  #start(
    configuration: ProgramConfiguration,
    sockets: readonly number[],
    terminals: StartOnTerminal | undefined,
  ): ProgramStart | Extract<StartOutcome, { ok: false }> {
    const port = portOf(configuration.ready?.probe)
    const holder = this.findHolder()
    if (port !== undefined && holder !== undefined)
      return { ...failedStart({ code: 'port-taken', port }), isBlocked: true, holder }
    const { command, cwd, pty } = configuration
    const { output, input, terminal, runs, recognises, environment } = this.#parts
    let begun: ProgramStart
    try {
      const as = runAs(configuration)
      if (!as.ok) return { ...failedStart(as.fault), isBlocked: true }
      const limited = withOpenFilesLimit(as.configuration)
      if (limited.isMissing) this.#sayUnlimited()
      // Neither a shell nor a terminal tells, nor what takes on another user or a limit.
      const isWrapped = as.owner !== undefined || limited.configuration !== as.configuration
      if (sockets.length > 0 || pty !== undefined || isWrapped) {
        if (!existsSync(cwd)) return failedStart({ code: 'folder-missing', folder: cwd })
        if (!isCommandThere(configuration, environment().PATH))
          return failedStart({ code: 'command-missing', command: command[0], cwd })
      }
      const { kept: channels } = runs
      if (!configuration.keep) channels.remove()
      const kept = configuration.keep ? channels : undefined
      const run = randomUUID()
      runs.aboutToStart(run)
      begun = startProgram(limited.configuration, output, input, recognises, {
        run,
        kept,
        sockets,
        owner: as.owner,
        terminal: terminals && pty && { start: terminals, shown: terminal, size: pty },
      })
    } catch (error) {
      const code = error instanceof KeptOutputError ? 'output-unusable' : 'environment-unreadable'
      return failedStart({ code, why: errorText(error) })
    }
    if (begun.process === undefined) return begun
    const { identity } = begun.process
    const { ended } = begun
    // Its end is told before the next start is.
    this.#port = servedPort(configuration)
    this.#untold = identity.pid
    this.#cleared = ended.then(() => {
      this.#parts.ended()
      this.#untold = undefined
    })
    runs.begin(identity, configuration)
    return begun
  }

  #sayUnlimited(): void {
    if (this.#saidUnlimited) return
    this.#saidUnlimited = true
    const { configuration, warn } = this.#parts
    warn(
      `${configuration().name}: nothing keeps it from opening more files than limits.openFiles allows, because prlimit is not installed; install util-linux. The limit is watched`,
    )
  }

  /** Kills what was started and did not become ready, with all that it has started; the next start waits for that. */
  #clear({ process, ended }: ProgramStart): void {
    if (process === undefined) return
    const killed = killProcesses(process.identity, this.#parts.recognises)
    this.#killed = killed
    this.#cleared = Promise.all([killed, ended]).then(() => {})
  }

  /** Who listens where it would; undefined = nobody, or it needs no port. */
  findHolder(): ProcessSummary | undefined {
    const { ready, sockets } = this.#parts.configuration()
    for (const { host, port } of sockets) {
      const holder = this.#sockets.holds(port) ? undefined : findPortHolder(port, host)
      if (holder !== undefined) return holder
    }
    const port = portOf(ready?.probe)
    return port === undefined || this.#sockets.holds(port) ? undefined : holderOfLoopback(port)
  }

  /** The same for a person who reads why a start has failed. */
  async #identified(): Promise<ProcessSummary | undefined> {
    const missing = this.#parts.configuration().sockets.find((one) => !this.#sockets.holds(one.port))
    if (missing !== undefined) return await identifyPortHolder(missing.port, missing.host, true)
    const port = portOf(this.#parts.configuration().ready?.probe)
    return port === undefined ? undefined : await identifyHolderOfLoopback(port)
  }

  /** What the start under way still lacks to be ready; undefined = nobody knows. */
  lacks(): ProgramFault | undefined {
    const probe = this.#parts.configuration().ready?.probe
    const { identity } = this.#parts.runs.current ?? {}
    if (probe === undefined || identity === undefined) return undefined
    const port = portOf(probe)
    if (port !== undefined) {
      const ports = portsOf(identity, this.#parts.recognises)
      const isTaken = this.findHolder() !== undefined
      if (!ports.includes(port)) return { code: 'not-on-port', port, ports, isTaken }
    }
    if (probe.kind === 'log') return { code: 'not-printed', pattern: probe.pattern }
    const problem = this.#last?.problem()
    return problem === undefined ? undefined : { code: 'not-answered', problem }
  }
}

/** @returns why there are none, in words. */
async function terminalsOrWhy(): Promise<StartOnTerminal | string> {
  try {
    const { loadTerminals } = await import('../../process/pseudo-terminal.ts')
    return await loadTerminals()
  } catch (error) {
    return errorText(error)
  }
}

function notHeld({ address, isTaken, why }: Exclude<Holding, { ok: true }>) {
  if (!isTaken) return failedStart({ code: 'socket-refused', why })
  return { ...failedStart({ code: 'port-taken', port: address.port }), isBlocked: true }
}
