/**
 * cli/: the commands. Each file reads its words, calls one room and prints; run.ts turns errors into one line and an exit code.
 *
 *   port-watchdog WORD -> `words` -> the command's file (`Program`) -> a room
 *
 * A new command is a file with a `Program` and a row of `words`; help, completion and manual pages are made from it. tcp-proxy alone
 * starts without commander (plain-words.ts), because each restart of a forward waits for it.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { packageFile } from '../os/package-file.ts'
import type { WholeProgram, Word } from './command.ts'
import { readPlainWords } from './plain-words.ts'

/**
 * The words of `port-watchdog`: `port-watchdog status` is `proxy-status`, in the same process, with the same options and exit codes.
 * Help, completion and manual pages are made from this table. To add a word, add a row.
 */
export const words: readonly Word[] = [
  of('start', 'run TCP forwards and restart the ones that die', 'proxy-monitor', async () => {
    return (await import('./proxy-monitor.ts')).proxyMonitor
  }),
  of('status', 'show the status of the forwards and the monitor', 'proxy-status', async () => {
    return (await import('./proxy-status.ts')).proxyStatus
  }),
  of('log', 'show the logs of the monitor and the forwards', 'proxy-log', async () => {
    return (await import('./proxy-log.ts')).proxyLog
  }),
  of('ctl', 'give orders: start, stop, restart, retry, drain, reload', 'proxy-ctl', async () => {
    return (await import('./proxy-ctl.ts')).proxyCtl
  }),
  {
    word: 'forward',
    summary: 'run a single TCP forward',
    program: 'tcp-proxy',
    command: async () => (await import('./tcp-proxy-command.ts')).tcpProxyCommand(),
    run: runForward,
  },
  of('mcp', 'serve many MCP servers as one', 'mcp-proxy', async () => {
    return (await import('./mcp-proxy.ts')).mcpProxy
  }),
  of('doctor', 'check this machine and the configuration, and name cures', undefined, async () => {
    return (await import('./doctor.ts')).doctor
  }),
  of('completion', 'print shell completion for bash, zsh or fish', undefined, async () => {
    const { completionOf } = await import('./completion.ts')
    return completionOf(['port-watchdog', ...words.flatMap(({ program }) => program ?? [])])
  }),
  {
    word: 'install-service',
    summary: 'install the monitor as a systemd service',
    run: (given) => runScript('install-systemd', given),
  },
]

function of(
  word: string,
  summary: string,
  name: string | undefined,
  load: () => Promise<WholeProgram>,
): Word {
  return {
    word,
    summary,
    ...(name === undefined ? {} : { program: name }),
    command: async () => (await load()).command,
    run: async (given) => {
      const { command, runWith } = await load()
      command.name(`port-watchdog ${word}`)
      await runWith(given)
    },
  }
}

/**
 * Runs the forwarder from its own file, as if it had been started by its own name: its replacements and workers are started with the
 * words of this process.
 */
async function runForward(given: readonly string[]): Promise<void> {
  const file = packageFile('dist/bin/tcp-proxy.cjs')
  process.argv = [process.execPath, file, ...given]
  const start = async () => {
    const program = (await import(file)) as { start(): Promise<void> }
    void program.start()
  }
  if (readPlainWords(given) !== undefined) return await start()
  // Only for help and mistakes, so that they name the command as it was typed: the forwarder reads its words itself.
  const { runProgram } = await import('./command.ts')
  const { forwarderWords, tcpProxyCommand } = await import('./tcp-proxy-command.ts')
  const run = async (...said: Parameters<typeof forwarderWords>) => {
    forwarderWords(...said)
    await start()
    return Number(process.exitCode ?? 0)
  }
  await runProgram({ command: tcpProxyCommand().name('port-watchdog forward'), run }, given)
}

/** A shell script of this package, with the terminal of this process. */
async function runScript(name: string, given: readonly string[]): Promise<void> {
  const file = packageFile(`scripts/${name}`)
  const child = spawn('bash', [file, ...given], { stdio: 'inherit' })
  process.exitCode = await new Promise<number>((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`port-watchdog: ${file} cannot be run: ${error.message}\n`)
      resolve(70)
    })
    child.once('exit', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    )
  })
}
