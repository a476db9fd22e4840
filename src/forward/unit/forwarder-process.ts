import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type ForwardOptions, gateTokenVariable, relayVariable } from '../../config/forward-options.ts'
import { optionWords } from '../../config/option-table.ts'
import { childEnvironment } from '../../os/child-environment.ts'
import { packageFile } from '../../os/package-file.ts'
import type { Shortage } from '../../os/shortage.ts'
import { type Inheritance, type InheritedSocket, inheritanceVariable } from '../../process/inheritance.ts'
import { firstPassedDescriptor, type StartFailure } from '../../process/start.ts'
import { failedStart, startOwnProcess } from '../../watch/own-process.ts'
import type { Start } from '../../watch/unit.ts'

const program = packageFile('dist/bin/tcp-proxy.cjs')

/** Program and words of a forwarder with these options. */
export function forwarderCommand(options: ForwardOptions, stateDirectory: string): [string, ...string[]] {
  return [process.execPath, program, ...optionWords(options), '--state-dir', stateDirectory]
}

/**
 * Starts a forwarder as `startOwnProcess` does.
 * @param prepare makes the state directory when it is gone: without it nothing could be started.
 * @param sockets held by this process, on which it listens instead of binding: while they are held, a connect to a forwarder that
 *   has died waits for the next one. None = it binds its own.
 */
export function startForwarder(
  options: ForwardOptions,
  stateDirectory: string,
  logFile: string,
  prepare: () => void,
  sockets: readonly InheritedSocket[],
): Start {
  const [program, ...words] = forwarderCommand(options, stateDirectory)
  const plan = {
    program,
    words,
    environment: { ...forwarderEnvironment(process.env, options), ...inherited(sockets) },
    descriptors: sockets.map(({ descriptor }) => descriptor),
  }
  return startOwnProcess({ plan, logFile, prepare, failed })
}

function failed(failure: StartFailure) {
  const isBroken = failure.code === 'ended' && !isProgramWhole()
  const holder = failure.code === 'refused' ? failure.holder : undefined
  return { ...failedStart(failure), holder, ...(isBroken ? { shortage: brokenProgram } : {}) }
}

/** What tells a forwarder of the sockets that it gets after its report's descriptor. */
function inherited(sockets: readonly InheritedSocket[]): NodeJS.ProcessEnv {
  if (sockets.length === 0) return {}
  const passed = sockets.map(({ name }, index) => ({ descriptor: firstPassedDescriptor + index, name }))
  const inheritance: Inheritance = { kind: 'activation', sockets: passed }
  return { [inheritanceVariable]: JSON.stringify(inheritance) }
}

/** The last line of what the program's file runs: scripts/bundle writes it, and a file that is being written does not have it yet. */
const lastLine = '//# whole\n'

const brokenProgram: Shortage = {
  kind: 'program',
  words: `${program} is missing or incomplete; is it being upgraded?`,
}

function isProgramWhole(): boolean {
  try {
    const [, name] = /\bload\('([^']+)'\)/.exec(readFileSync(program, 'latin1')) ?? []
    const run = path.join(path.dirname(program), 'lib', `${name}.cjs`)
    return name !== undefined && readFileSync(run, 'latin1').endsWith(lastLine)
  } catch {
    return false
  }
}

/**
 * A forwarder gets no variable of a service manager: it must not speak to systemd in the monitor's name. Only a forwarder with a gate gets
 * the gate's token. Only one that verifies certificates gets NODE_EXTRA_CA_CERTS, because Node reads that file first of all, which takes
 * 35 ms of every restart.
 */
function forwarderEnvironment(
  environment: NodeJS.ProcessEnv,
  { gate, gateTokenFile, targetTls }: ForwardOptions,
): NodeJS.ProcessEnv {
  return childEnvironment(environment, [
    relayVariable,
    ...(gate !== '' && gateTokenFile === '' ? [gateTokenVariable] : []),
    ...(targetTls ? ['NODE_EXTRA_CA_CERTS'] : []),
  ])
}
