/** Orders for the gateway that runs: `mcp-proxy reload` and `mcp-proxy retry`. */
import path from 'node:path'
import { askControl, holderAfter } from '../control/client.ts'
import { type ControlErrorCode, ControlRefusal } from '../control/protocol.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { gatewayReload, reloadInWords } from '../record/shapes/gateway-reload.ts'
import { fileNames } from '../record/state-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import type { Program } from './command.ts'
import { gatewayCommand } from './mcp-command.ts'

/** What the command ends with, by the code of a refusal. */
const refusalCodes: Partial<Record<ControlErrorCode, number>> = {
  failed: exitCode.configuration,
  'invalid-argument': exitCode.usage,
}

/** ms that reading may take. */
const reloadMs = 10_000

export const reloadProgram: Program = {
  command: gatewayCommand(
    'reload',
    'Read the configuration again: only connectors that have changed are restarted, clients stay.',
  ).option('-j, --json', 'print one JSON object'),
  run: async ({ stateDir, json }: { stateDir?: string; json?: boolean }) => {
    const directory = readersDirectory(stateDir)
    const reload = gatewayReload.read(await askGateway(directory, 'reload', {}))
    if (reload === undefined)
      throw new Failure('the gateway that runs is of another version', exitCode.unavailable)
    if (json === true) process.stdout.write(`${JSON.stringify(reload)}\n`)
    else
      process.stdout.write(
        `${oneLine(reload.file)}: ${reloadInWords(reload) ?? 'no connector has changed'}\n`,
      )
    if (reload.needsRestart.length > 0)
      process.stderr.write(
        `mcp-proxy: ${reload.needsRestart.join(' and ')} need another process: proxy-ctl reload where a monitor keeps the gateway, or start it again\n`,
      )
    return exitCode.ok
  },
}

export const retryProgram: Program = {
  command: gatewayCommand('retry', 'Try connectors that wait for their next start now.').argument(
    '[CONNECTORS...]',
    'their ids (default: all)',
  ),
  run: async (connectors: readonly string[], { stateDir }: { stateDir?: string }) => {
    const asked = connectors.length === 0 ? {} : { connectors }
    const tried = (await askGateway(readersDirectory(stateDir), 'retry', asked)) as readonly string[] | null
    const names = tried?.join(', ') ?? ''
    process.stdout.write(names === '' ? 'no connector waits for its next start\n' : `${oneLine(names)}\n`)
    return exitCode.ok
  },
}

export const logLevelProgram: Program = {
  command: gatewayCommand('log-level', 'Show or set the level of the log of the gateway that runs.').argument(
    '[LEVEL]',
    'DEBUG, INFO, WARN or ERROR: lines below it are not logged; until the gateway ends',
  ),
  run: async (given: string | undefined, { stateDir }: { stateDir?: string }) => {
    const asked = given === undefined ? {} : { level: given.toLowerCase() }
    const level = await askGateway(readersDirectory(stateDir), 'log-level', asked)
    process.stdout.write(`${oneLine(String(level)).toUpperCase()}\n`)
    return exitCode.ok
  },
}

/** Orders something of the gateway that runs. @throws Failure when none does, or it refuses. */
export async function askGateway(
  directory: string,
  order: string,
  input: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const answer = await askRunning(directory, order, input)
  if (answer !== undefined) return answer
  throw new Failure(`no gateway runs in ${directory}; start it: mcp-proxy start --all`, exitCode.unavailable)
}

/** Asks the gateway that runs. @returns undefined when none does. @throws Failure with why it refuses. */
export async function askRunning(
  directory: string,
  order: string,
  input: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  try {
    return (await askControl(path.join(directory, fileNames.gatewaySocket), order, input, reloadMs)) ?? null
  } catch (error) {
    if (error instanceof ControlRefusal)
      throw new Failure(error.message, refusalCodes[error.code] ?? exitCode.unavailable)
    if (holderAfter(error) !== 'absent') throw error
    return undefined
  }
}
