import type { Command } from 'commander'
import { newCommand } from './command.ts'
import { words } from './words.ts'

/** `port-watchdog` itself, for its help, version, mistakes and manual page. It runs nothing. */
export function umbrella(): Command {
  const command = newCommand('port-watchdog', 'Keep TCP ports reachable, and show whether they are.')
    .usage('COMMAND [options]')
    .helpCommand('help [COMMAND]', 'show the options of a command')
    .addHelpText(
      'after',
      `
"port-watchdog COMMAND --help" lists the options of a command.

Also installed as:
${words.flatMap(({ word, program }) => (program === undefined ? [] : [`  port-watchdog ${word.padEnd(10)}${program}\n`])).join('')}
Exit codes:
  64  invalid arguments; every other code is that of the command

Examples:
  port-watchdog start                          watch the ports of the MCP Inspector, in the foreground
  port-watchdog status
  port-watchdog forward 8080 localhost 3000    one forward, without a monitor

Manual: man port-watchdog`,
    )
  for (const { word, summary } of words) command.command(word).description(summary).helpOption(false)
  return command
}
