#!/usr/bin/env node
import { exitCode } from '../os/failure.ts'
import { newCommand, runProgram } from './command.ts'
import { words } from './words.ts'

const [first, ...rest] = process.argv.slice(2)
const isHelp = first === 'help' && rest.length > 0
const chosen = words.find(({ word }) => word === (isHelp ? rest[0] : first))
if (first === '--complete') {
  const { complete } = await import('./completion.ts')
  await complete(rest)
} else if (chosen !== undefined) {
  await chosen.run(isHelp ? ['--help'] : rest)
} else if (first === undefined) {
  umbrella().outputHelp({ error: true })
  process.exitCode = exitCode.usage
} else {
  await runProgram({ command: umbrella() }, isHelp ? rest : process.argv.slice(2))
}

/** For help, the version and mistakes. */
function umbrella() {
  const command = newCommand('port-watchdog', 'Keep TCP ports reachable, and show whether they are.')
    .usage('COMMAND [options]')
    .helpCommand('help [COMMAND]', 'show the options of a command')
    .addHelpText(
      'after',
      `
"port-watchdog COMMAND --help" lists the options of a command. These commands are also installed under names of their own:
${words.flatMap(({ word, program }) => (program === undefined ? [] : [`  port-watchdog ${word.padEnd(8)} = ${program}\n`])).join('')}
Exit codes: those of the command; 64 usage.

Examples:
  port-watchdog start                          watch the ports of the MCP Inspector, in the foreground
  port-watchdog status
  port-watchdog forward 8080 localhost 3000    one forward, without a monitor`,
    )
  for (const { word, summary } of words) command.command(word).description(summary).helpOption(false)
  return command
}
