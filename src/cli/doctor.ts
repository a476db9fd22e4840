import path from 'node:path'
import { examine } from '../doctor/examine.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { filled, newCommand, program } from './command.ts'
import { printDiagnosis } from './print-diagnosis.ts'

interface Options {
  config?: string
  stateDir?: string
  testAlerts?: boolean
  json?: boolean
}

const command = newCommand(
  'port-watchdog doctor',
  'Check this machine, the configuration and what runs, and name a cure for every problem. It changes nothing.',
)
  .option(
    '--config <FILE>',
    'configuration file to check (default: that of the running monitor, or the one that proxy-monitor would find)',
    filled,
  )
  .option(
    '--state-dir <DIR>',
    'folder in which the monitor keeps its records (default: the first of the usual places that has some)',
  )
  .option('--test-alerts', 'send a test message through each alert channel')
  .option('--json', 'print one JSON object (schema/doctor.schema.json)')
  .addHelpText(
    'after',
    `
Signs: ✓ in order, • worth knowing, ! warning, ✗ error.

Exit codes:
  0   everything is in order, or only worth knowing
  1   there are warnings
  2   there are errors
  64  invalid arguments

Examples:
  port-watchdog doctor
  port-watchdog doctor --config port-watchdog.yaml
  port-watchdog doctor --json | jq '.findings[] | select(.level == "error")'

Manual: man port-watchdog`,
  )

export const doctor = program(command, async ({ config, stateDir, testAlerts, json }: Options) => {
  const stateDirectory = readersDirectory(stateDir)
  const file = config === undefined ? undefined : path.resolve(config)
  const diagnosis = await examine({ stateDirectory, file, testAlerts: testAlerts === true })
  return printDiagnosis(diagnosis, json === true)
})
