/** `mcp-proxy reload`: the gateway that runs reads its configuration again. */
import path from 'node:path'
import { askControl, holderAfter } from '../control/client.ts'
import { ControlRefusal } from '../control/protocol.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { gatewayReload, reloadInWords } from '../record/shapes/gateway-reload.ts'
import { fileNames } from '../record/state-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import type { Program } from './command.ts'
import { gatewayCommand } from './mcp-command.ts'

/** ms that reading may take. */
const reloadMs = 10_000

export const reloadProgram: Program = {
  command: gatewayCommand(
    'reload',
    'Read the configuration again: only connectors that have changed are restarted, clients stay.',
  ).option('-j, --json', 'print one JSON object'),
  run: async ({ stateDir, json }: { stateDir?: string; json?: boolean }) => {
    const directory = readersDirectory(stateDir)
    const reload = gatewayReload.read(await ask(directory))
    if (reload === undefined)
      throw new Failure('the gateway that runs is of another version', exitCode.unavailable)
    if (json === true) process.stdout.write(`${JSON.stringify(reload)}\n`)
    else
      process.stdout.write(
        `${oneLine(reload.file)}: ${reloadInWords(reload) ?? 'no connector has changed'}\n`,
      )
    if (reload.needsRestart.length > 0)
      process.stderr.write(`mcp-proxy: restart the gateway for ${reload.needsRestart.join(' and ')}\n`)
    return exitCode.ok
  },
}

async function ask(directory: string): Promise<unknown> {
  try {
    return await askControl(path.join(directory, fileNames.gatewaySocket), 'reload', {}, reloadMs)
  } catch (error) {
    if (error instanceof ControlRefusal)
      throw new Failure(
        error.message,
        error.code === 'failed' ? exitCode.configuration : exitCode.unavailable,
      )
    if (holderAfter(error) !== 'absent') throw error
    throw new Failure(
      `no gateway runs in ${directory}; start it: mcp-proxy start --all`,
      exitCode.unavailable,
    )
  }
}
