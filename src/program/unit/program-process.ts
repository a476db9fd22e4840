import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Writable } from 'node:stream'
import { setTimeout as after } from 'node:timers/promises'
import { parseEnv } from 'node:util'
import { type ProgramConfiguration, portOf } from '../../config/program-configuration.ts'
import { childEnvironment } from '../../os/child-environment.ts'
import { errorText, exitCode } from '../../os/failure.ts'
import { readFileForUser, readRegularFile } from '../../os/regular-file.ts'
import { leftBehind, type Recognition } from '../../process/ending.ts'
import { awayFrom, programVariable, runVariable } from '../../process/program-mark.ts'
import type { StartOnTerminal, TerminalProcess, TerminalSize } from '../../process/pseudo-terminal.ts'
import {
  describeEnd,
  type ProcessEnd,
  type ReadyProbe,
  type SpawnedProcess,
  type StartedProcess,
  type StartFailure,
  startProcess,
} from '../../process/start.ts'
import { describeProcesses } from '../../process/summary.ts'
import type { StartOutcome } from '../../watch/unit.ts'
import type { ProgramInput } from '../input/index.ts'
import type { KeptProgram } from '../kept/index.ts'
import type { ProgramOutput } from '../output/index.ts'
import { readyProbe } from '../ready/index.ts'
import { socketCommand, socketVariables } from '../sockets/index.ts'
import type { ProgramTerminal } from '../terminal/index.ts'
import type { Owner } from './run-as.ts'
import type { ProgramFault } from './vocabulary.ts'

/** What runs once may be done in a moment: it has started when it runs. */
const atOnce: ReadyProbe<StartedProcess> = async () => ({ ready: true })

/** A program that is being started, or runs. */
export type ProgramStart = ReturnType<typeof startProgram>

/** What a program is started with beside its configuration. */
export interface StartMeans {
  /** The word of this start: what it starts has it in its environment. */
  readonly run: string
  /** Its channels when it is to outlive this monitor; undefined = pipes. */
  readonly kept: KeptProgram | undefined
  /** Descriptors of this process that it gets as 3 and the ones after it. */
  readonly sockets: readonly number[]
  /** Its terminal, and how it gets one; undefined = it has none. */
  readonly terminal:
    | { readonly start: StartOnTerminal; readonly shown: ProgramTerminal; readonly size: TerminalSize }
    | undefined
  /** The user that it runs as; undefined = the user of this process. */
  readonly owner: Owner | undefined
}

/**
 * Starts a program in a session of its own. What prevents the start is its outcome.
 * @throws as `programEnvironment` and `KeptProgram.begin`.
 */
export function startProgram(
  configuration: ProgramConfiguration,
  output: ProgramOutput,
  input: ProgramInput,
  isOurs: Recognition,
  { run, kept, sockets, terminal, owner }: StartMeans,
) {
  const { command, cwd, ready, oneshot, name } = configuration
  const hasSockets = sockets.length > 0
  const [program, ...words] = hasSockets ? socketCommand(command) : command
  const environment = {
    ...programEnvironment(configuration, owner),
    [runVariable]: run,
    ...(hasSockets ? socketVariables(name, sockets.length) : {}),
  }
  let problem: string | undefined
  const asked = { cwd, environment, isOurs, output }
  const probe = readyProbe(ready, asked, (found) => {
    problem = found
  })
  const takesInput = configuration.input !== undefined
  const channels = kept?.begin(configuration.output.maxBytes, takesInput)
  const plan = { program, words, cwd, environment, ready: oneshot && ready === undefined ? atOnce : probe }
  const started =
    terminal === undefined
      ? startProcess({
          ...plan,
          output: channels?.output ?? 'pipe',
          readInto: output.room,
          owner,
          takesInput: channels === undefined ? takesInput : (channels.input ?? false),
          ...(hasSockets ? { sockets } : {}),
        })
      : terminal.start({ ...plan, size: terminal.shown.sizeOr(terminal.size) })
  channels?.passedOn()
  const running: StartedProcess | undefined = started.process
  const stdin = stdinOf(started.process, terminal?.shown, kept)
  if (takesInput && stdin !== null) input.attach(stdin)
  const ended = running === undefined ? Promise.resolve(undefined) : followed(running, output, kept, run)
  return {
    ...started,
    /** Resolves when it has ended and its last words are kept. */
    ended,
    /** What was wrong with the last answer of its `ready` probe; undefined = it has not been asked, or not by a question. */
    problem: () => problem,
    outcome: started.outcome.then(async (outcome): Promise<StartOutcome> => {
      if (outcome.ok) return outcome
      const { failure } = outcome
      if (failure.code !== 'ended' || running === undefined) return notStarted(failure, configuration)
      await ended
      const left = leftBehind(running.identity, isOurs).flatMap(({ pid }) => pid ?? [])
      const away = (await awayFrom(running.identity, run)).flatMap(({ pid }) => pid ?? [])
      return failedStart({ code: 'ended-at-start', end: failure.end, left, away })
    }),
  }
}

function stdinOf(
  running: SpawnedProcess | TerminalProcess | undefined,
  shown: ProgramTerminal | undefined,
  kept: KeptProgram | undefined,
): Writable | null {
  if (running === undefined) return null
  if ('resize' in running) return shown?.attach(running) ?? null
  running.child.unref()
  return kept?.openInput() ?? running.child.stdin
}

/** ms that are given to the last words of a process that has ended: what it has started may hold its output open for ever. */
const lastWordsTakeMs = 50

async function followed(
  running: StartedProcess,
  output: ProgramOutput,
  kept: KeptProgram | undefined,
  run: string,
): Promise<ProcessEnd> {
  const { pid, stdout, stderr } = running
  output.note(`started (PID ${pid})`)
  const read = kept === undefined ? output.follow(stdout, stderr) : undefined
  const end = await running.ended
  // What it wrote to a file is there.
  await (read === undefined
    ? kept?.reading?.read()
    : Promise.race([read, after(lastWordsTakeMs, undefined, { ref: false })]))
  kept?.reading?.end()
  output.note(describeEnd(end))
  // After what waits for its end.
  void awayFrom(running.identity, run).then((away) => {
    if (away.length > 0)
      output.note(`${describeProcesses(away)} began a session of its own, so the monitor leaves it alone`)
  })
  return end
}

/**
 * The variables of every process of a program.
 * @param owner the other user that it runs as.
 * @throws Error that names a file of variables that cannot be read.
 */
export function programEnvironment(
  { name, env, envFile, passEnv }: ProgramConfiguration,
  owner: Owner | undefined,
): NodeJS.ProcessEnv {
  const found = envFile.map((file) => variablesIn(file, owner))
  const ofFiles = Object.assign({}, ...found) as NodeJS.Dict<string>
  return { ...childEnvironment(process.env, passEnv), ...ofFiles, ...env, [programVariable]: name }
}

/** Whether the system would find the command: where a shell runs it, the start itself does not tell. */
export function isCommandThere({ command: [command], cwd }: ProgramConfiguration, PATH = ''): boolean {
  if (command.includes('/')) return existsSync(path.resolve(cwd, command))
  return PATH.split(':').some((folder) => existsSync(path.resolve(cwd, folder, command)))
}

function variablesIn(file: string, owner: Owner | undefined): NodeJS.Dict<string> {
  try {
    return parseEnv(
      owner === undefined ? readRegularFile(file, { follow: true }) : readFileForUser(file, owner.uid),
    )
  } catch (error) {
    throw new Error(`its file of variables cannot be read: ${errorText(error)}`)
  }
}

function notStarted(
  failure: StartFailure,
  { command, cwd, ready }: ProgramConfiguration,
): Extract<StartOutcome, { ok: false }> {
  const port = portOf(ready?.probe)
  // Only the look at its port refuses a start.
  if (failure.code === 'refused' && failure.exitCode === exitCode.unavailable && port !== undefined)
    return { ...failedStart({ code: 'port-taken', port }), isBlocked: true }
  // The system's error for a missing folder is that of a missing program.
  if (failure.code === 'not-run' && failure.system === 'ENOENT')
    return failedStart(
      existsSync(cwd)
        ? { code: 'command-missing', command: command[0], cwd }
        : { code: 'folder-missing', folder: cwd },
    )
  // A program of ours is being upgraded when it is missing. This one is not ours.
  const shortage = failure.shortage?.kind === 'program' ? undefined : failure.shortage
  return { ...failedStart({ code: 'not-started', failure }), shortage }
}

export function failedStart(fault: ProgramFault) {
  return { ok: false, fault, isBlocked: false } as const
}
