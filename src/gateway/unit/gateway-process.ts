import type { GatewayProcessOptions } from '../../config/gateway-process-options.ts'
import { childEnvironment, commandVariables } from '../../os/child-environment.ts'
import { packageFile } from '../../os/package-file.ts'
import { startOwnProcess } from '../../watch/own-process.ts'
import type { Start } from '../../watch/unit.ts'

const program = packageFile('dist/bin/mcp-proxy.cjs')

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

/** Program, words and variables of a gateway that a monitor keeps. */
export function gatewayPlan({
  options,
  stateDirectory,
  variables,
}: Omit<GatewayStart, 'logFile' | 'prepare'>) {
  return {
    run: [process.execPath, program, ...gatewayWords(options, stateDirectory)],
    environment: childEnvironment(process.env, [...commandVariables, ...variables]),
  }
}

/** It is ready when it serves; its connectors start afterwards. */
export function startGateway({ logFile, prepare, ...start }: GatewayStart): Start {
  const { run, environment } = gatewayPlan(start)
  const [command = '', ...words] = run
  return startOwnProcess({ plan: { program: command, words, environment }, logFile, prepare })
}
