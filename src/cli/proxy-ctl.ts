/** Orders for the monitor that runs: a command for each row of `orders/`, sent over its control socket. */
import { type Command, Option } from 'commander'
import { parseCount, parseDuration } from '../config/values.ts'
import { defaultWaitMs } from '../orders/order.ts'
import { exitCode } from '../os/failure.ts'
import { readersDirectory, unusualDirectory } from '../record/usual-directories.ts'
import { addProgram } from './add.ts'
import { argument, newCommand, type Program, whole } from './command.ts'
import { followOrder, type OrderOptions, order, print, subcommand } from './ctl-command.ts'
import { configProgram } from './ctl-config.ts'
import { keyProgram } from './ctl-keys.ts'
import { logPrograms } from './ctl-logs.ts'
import { programPrograms } from './ctl-programs.ts'
import { importProgram } from './import.ts'
import type { McpClient } from './mcp-clients.ts'

interface Options extends OrderOptions {
  readonly all?: boolean
  readonly wait?: boolean
  readonly timeout?: number
  readonly within?: number
  readonly allAtOnce?: boolean
  readonly stopForwards?: boolean
  readonly last?: number
  readonly for?: string
  readonly printConfig?: McpClient
}

/** Events that are shown before those to come when nobody says how many. */
const defaultLast = 10

/** An order about units. */
function unitProgram(
  name: string,
  description: string,
  extend: (command: Command) => void = () => {},
): Program {
  const command = subcommand(name, description)
    .argument('[UNIT...]', 'forwards by name or port, programs by name')
    .option('-a, --all', 'all forwards and programs')
    .option('--no-wait', 'answer as soon as it is ordered, instead of when it is done')
    .option('--timeout <TIME>', 'how long to wait (default: 30s; 0 = as --no-wait)', argument(parseDuration))
  extend(command)
  return {
    command,
    run: async (units: string[], options: Options) => {
      const { all = false, wait = true, timeout = defaultWaitMs, within, allAtOnce } = options
      const input = {
        units,
        all,
        wait: wait && timeout > 0,
        timeoutMs: timeout,
        ...(within === undefined ? {} : { withinMs: within }),
        ...(allAtOnce === undefined ? {} : { allAtOnce }),
      }
      const answer = await order(options, name, input, timeout)
      const { unitsText } = await import('./ctl-output.ts')
      return print(answer, options, unitsText)
    },
  }
}

const listProgram: Program = {
  command: subcommand('list', 'List the forwards and programs, and how each stands.').argument(
    '[UNIT...]',
    'only these, by name or port',
  ),
  run: async (units: string[], options: Options) => {
    const answer = await order(options, 'list', { units })
    const { listText } = await import('./ctl-output.ts')
    return print(answer, options, listText)
  },
}

const statusProgram: Program = {
  command: subcommand(
    'status',
    'Show the health report that proxy-status shows, as the monitor sees it.',
  ).argument('[UNIT...]', 'only these, by name or port'),
  run: async (units: string[], options: Options) => {
    const answer = await order(options, 'status', { units })
    const { statusText } = await import('./ctl-output.ts')
    return print(answer, options, statusText)
  },
}

const waitProgram: Program = {
  command: subcommand(
    'wait',
    'Wait until units are ready, healthy or have exited; a failure shows the last lines of the log.',
  )
    .argument('<UNIT...>', 'forwards and programs, by name or port')
    .addOption(
      new Option('--for <STATE>', 'ready: accepts connections; healthy: its target answers, too; exited')
        .choices(['ready', 'healthy', 'exited'])
        .default('ready'),
    )
    .option('--timeout <TIME>', 'how long to wait, at most 2m (default: 30s)', argument(parseDuration)),
  run: async (units: string[], options: Options) => {
    const { for: goal = 'ready', timeout = defaultWaitMs } = options
    const answer = await order(options, 'wait', { units, for: goal, timeoutMs: timeout }, timeout)
    const { waitedText } = await import('./ctl-output.ts')
    return print(answer, options, waitedText)
  },
}

const processesProgram: Program = {
  command: subcommand(
    'processes',
    'List the processes of each forward and program: the one that was started, and all that it has started.',
  ).argument('[UNIT...]', 'only these forwards and programs, by name or port'),
  run: async (units: string[], options: Options) => {
    const answer = await order(options, 'processes', { units })
    const { processesText } = await import('./ctl-figures.ts')
    return print(answer, options, processesText)
  },
}

const systemStatsProgram: Program = {
  command: subcommand(
    'system-stats',
    'Measure what each forward and program, the monitor and the machine use: CPU, memory, descriptors, disk.',
  ).argument('[UNIT...]', 'only these forwards and programs, by name or port'),
  run: async (units: string[], options: Options) => {
    const answer = await order(options, 'system-stats', { units })
    const { systemStatsText } = await import('./ctl-figures.ts')
    return print(answer, options, systemStatsText)
  },
}

const reloadProgram: Program = {
  command: subcommand('reload', 'Read the configuration file again.'),
  run: async (options: Options) => {
    const answer = await order(options, 'reload', {}, defaultWaitMs)
    const { reloadText } = await import('./ctl-output.ts')
    return print(answer, options, reloadText)
  },
}

const stopMonitorProgram: Program = {
  command: newCommand(
    'stop-monitor',
    'End the monitor and wait until it is gone. Its programs end; forwards and programs with keep go on.',
  )
    .option('--stop-forwards', 'end its forwards and the programs with keep, too')
    .option('--state-dir <DIR>', 'the state directory of the monitor (default: looks in the usual places)'),
  run: async ({ stateDir, stopForwards = false }: Options) => {
    const { stopMonitor } = await import('../monitor/stop-monitor.ts')
    const say = (line: string) => process.stdout.write(`${line}\n`)
    return await stopMonitor({ stateDirectory: readersDirectory(stateDir), stopForwards, say })
  },
}

const testAlertProgram: Program = {
  command: subcommand(
    'test-alert',
    'Send a test message through alert channels and say how each went.',
  ).argument('[CHANNEL]', 'only this channel (default: all)'),
  run: async (channel: string | undefined, options: Options) => {
    const answer = await order(options, 'test-alert', channel === undefined ? {} : { channel }, defaultWaitMs)
    const { testedText } = await import('./ctl-output.ts')
    return print(answer, options, testedText)
  },
}

const eventsProgram: Program = {
  command: subcommand('events', 'Show what happened and keep on telling what happens.')
    .argument('[UNIT...]', 'only these, by name or port')
    .option(
      '-n, --last <N>',
      `events of the past to begin with (default: ${defaultLast})`,
      argument(parseCount),
    )
    .option(
      '--timeout <TIME>',
      'how long to follow; 0 = only what happened (default: until Ctrl-C)',
      argument(parseDuration),
    ),
  run: followEvents,
}

const mcpProgram: Program = {
  command: newCommand('mcp', 'Serve the orders to an agent: an MCP server on standard input and output.')
    .addOption(
      new Option('--print-config <client>', 'print what makes a client start this server').choices([
        'claude',
        'cursor',
        'vscode',
        'codex',
      ]),
    )
    .option('--state-dir <DIR>', 'the state directory of the monitor (default: looks in the usual places)'),
  run: async ({ stateDir, printConfig }: Options) => {
    if (printConfig !== undefined) {
      const { clientConfiguration } = await import('./mcp-clients.ts')
      process.stdout.write(clientConfiguration(printConfig, stateDir ?? unusualDirectory()))
      return exitCode.ok
    }
    const { serveMcpOnStdio } = await import('../server/mcp/stdio.ts')
    const say = (line: string) => process.stderr.write(`proxy-ctl mcp: ${line}\n`)
    await serveMcpOnStdio(readersDirectory(stateDir), say)
    return exitCode.ok
  },
}

const programs: readonly Program[] = [
  listProgram,
  statusProgram,
  unitProgram('start', 'Start what is down or waits, and wait until it runs.'),
  unitProgram('stop', 'Stop forwards and programs; they stay down until somebody starts them.'),
  unitProgram(
    'restart',
    'Replace running forwards without refusing a connection, restart programs, copies of one in turn; start what does not run.',
    (command) =>
      command.option('--all-at-once', 'copies of one program all at once, instead of one after another'),
  ),
  unitProgram('retry', 'Try again at once what waits: back-off, flapping, blocked.'),
  unitProgram('drain', 'Take no more connections, let those that are open finish, then stop.', (command) =>
    command.option(
      '--within <TIME>',
      'cut what has not finished by then (default: 24h)',
      argument(parseDuration),
    ),
  ),
  unitProgram(
    'adopt',
    'Keep the processes that a detached program has left behind: they are the program from now on.',
  ),
  unitProgram(
    'end',
    'End the processes that a detached program has left behind; the program is then started again.',
  ),
  unitProgram('hand-over', 'Replace running forwards and the gateway by new processes; cut no connection.'),
  waitProgram,
  ...logPrograms,
  reloadProgram,
  eventsProgram,
  processesProgram,
  systemStatsProgram,
  configProgram,
  testAlertProgram,
  mcpProgram,
  keyProgram,
  ...programPrograms,
  addProgram,
  importProgram,
  stopMonitorProgram,
]

const command = newCommand(
  'proxy-ctl',
  'Give orders to the monitor: start, stop, restart, retry, drain, reload.',
)
  .usage('COMMAND [options]')
  .addHelpText(
    'after',
    `
"proxy-ctl COMMAND --help" lists the options of a command. Times are written 250ms, 5s, 2m or 1h.
A stop outlives the monitor: the unit stays down until "proxy-ctl start".

Exit codes:
  0    done, or nothing had to be done
  1    the order failed, for all or some of the units
  3    no monitor is running
  64   invalid arguments, or no such unit
  69   the monitor cannot be asked, or does not answer
  73   with config restore: the monitor cannot write the file
  77   the monitor belongs to another user; with config change: the configuration does not allow it
  78   with reload and config: the configuration is not valid, or there is no file
  124  not done in time; the order stands

Examples:
  proxy-ctl list
  proxy-ctl restart web                  no connection is refused
  proxy-ctl stop web api                 down, also when the monitor or the machine is restarted
  proxy-ctl drain web --within 10m       first let its connections finish
  proxy-ctl start --all
  proxy-ctl retry web                    do not wait for the next try
  proxy-ctl wait web --for healthy --timeout 1m
  proxy-ctl events --json | jq .
  proxy-ctl config diff                  what a reload would change
  proxy-ctl mcp --print-config claude    what to add, so that an agent looks after this machine
  proxy-ctl key create agent --scope read,control --program web --expires 30d
  proxy-ctl stop-monitor --stop-forwards

Manual: man proxy-ctl`,
  )
for (const one of programs) command.addCommand(one.command)

export const proxyCtl = whole({ command, commands: programs })

export const start = proxyCtl.runWith

async function followEvents(units: string[], options: Options): Promise<number> {
  const { last = defaultLast, timeout, json } = options
  const { eventPrinter } = await import('./ctl-output.ts')
  const input = { units, last, ...(timeout === undefined ? {} : { forMs: timeout }) }
  return followOrder(options, 'follow-events', input, timeout, eventPrinter(json === true))
}
