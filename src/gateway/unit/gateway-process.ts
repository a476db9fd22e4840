import { closeSync } from 'node:fs'
import type { GatewayProcessOptions } from '../../config/gateway-process-options.ts'
import { childEnvironment, commandVariables } from '../../os/child-environment.ts'
import { errorCode, errorText, exitCode } from '../../os/failure.ts'
import { packageFile } from '../../os/package-file.ts'
import { openForAppending } from '../../os/regular-file.ts'
import { shortageOf } from '../../os/shortage.ts'
import { type StartFailure, startProcess } from '../../process/start.ts'
import type { Start, StartOutcome } from '../../watch/unit.ts'
import type { GatewayFault } from './vocabulary.ts'

const program = packageFile('dist/src/cli/mcp-proxy.js')

export interface GatewayStart {
  readonly options: GatewayProcessOptions
  readonly stateDirectory: string
  /** Where what it prints goes. */
  readonly logFile: string
  /** Variables that its connectors refer to. */
  readonly variables: readonly string[]
  /** Makes the state directory when it is gone. */
  readonly prepare: () => void
}

/** The words of a gateway that a monitor keeps. */
export function gatewayWords({ file, http }: GatewayProcessOptions, stateDirectory: string): string[] {
  return [
    'start',
    '--all',
    ...(http === null ? [] : ['--http']),
    '--config',
    file,
    '--state-dir',
    stateDirectory,
  ]
}

/**
 * Starts a gateway in a session of its own: it outlives the monitor. It is ready when it serves; its connectors start afterwards. Never throws:
 * what prevents the start is its outcome.
 */
export function startGateway(start: GatewayStart): Start {
  try {
    start.prepare()
    return run(start)
  } catch (error) {
    const system = errorCode(error)
    const failure = {
      code: 'not-run',
      message: errorText(error),
      system,
      shortage: shortageOf(system),
    } as const
    return {
      identity: undefined,
      outcome: Promise.resolve(failedStart(failure)),
      exited: Promise.resolve(undefined),
      abandon: () => {},
    }
  }
}

function run({ options, stateDirectory, logFile, variables }: GatewayStart): Start {
  const log = openForAppending(logFile)
  const { process: running, ...start } = startProcess({
    program: process.execPath,
    words: [program, ...gatewayWords(options, stateDirectory)],
    environment: childEnvironment(process.env, [...commandVariables, ...variables]),
    output: log,
    ready: 'report',
  })
  closeSync(log)
  running?.child.unref()
  return {
    get identity() {
      return running?.identity
    },
    outcome: start.outcome.then((outcome) => (outcome.ok ? outcome : failedStart(outcome.failure))),
    exited: running?.ended ?? Promise.resolve(undefined),
    abandon: () => start.abandon(),
  }
}

function failedStart(failure: StartFailure): StartOutcome {
  const isBlocked = failure.code === 'refused' && failure.exitCode === exitCode.unavailable
  const fault: GatewayFault = { code: 'start-failed', failure }
  return { ok: false, fault, isBlocked, shortage: failure.shortage }
}
