/** `mcp-proxy doctor`: the checks of the gateway, and a cure for every problem. */

import { absolutePath } from '../os/working-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { filled, type Program } from './command.ts'
import { gatewayCommand } from './mcp-command.ts'

interface Options {
  readonly config?: string
  readonly stateDir?: string
  readonly json?: boolean
}

export const gatewayDoctorProgram: Program = {
  command: gatewayCommand(
    'doctor',
    'Check the connectors, the keys, the port and the gateway that runs, and name a cure for every problem. It changes nothing; port-watchdog doctor checks the rest of the machine.',
  )
    .option('--config <FILE>', 'configuration file, or that of an MCP client', filled)
    .option('-j, --json', 'print one JSON object (schema/doctor.schema.json)')
    .addHelpText(
      'after',
      `
Signs: ✓ in order, • worth knowing, ! warning, ✗ error.
Exit codes: 0 = in order or only worth knowing, 1 = there are warnings, 2 = there are errors.`,
    ),
  run: async ({ config, stateDir, json }: Options) => {
    const { examineGateway } = await import('../doctor/examine.ts')
    const { printDiagnosis } = await import('./print-diagnosis.ts')
    const file = config === undefined ? undefined : absolutePath(config)
    const diagnosis = await examineGateway({ stateDirectory: readersDirectory(stateDir), file })
    return printDiagnosis(diagnosis, json === true)
  },
}
