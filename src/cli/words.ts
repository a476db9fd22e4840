import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import type { Program } from './command.ts'
import { readPlainWords } from './plain-words.ts'

/**
 * The words of `port-watchdog`: `port-watchdog status` is `proxy-status`, in the same process, with the same options and exit codes.
 * Help, completion and manual pages are made from this table. To add a word, add a row.
 */
export interface Word {
  readonly word: string
  readonly summary: string
  /** The program that the word stands for, where it is installed under a name of its own, too. */
  readonly program?: string
  /** Its options and arguments, for completion. Undefined when another program reads them. */
  readonly command?: () => Promise<Command>
  readonly run: (words: readonly string[]) => Promise<void>
}

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
  {
    word: 'forward',
    summary: 'run a single TCP forward',
    program: 'tcp-proxy',
    command: async () => (await import('./tcp-proxy-command.ts')).tcpProxyCommand(),
    run: runForward,
  },
  of('doctor', 'check this machine and the configuration, and name cures', undefined, async () => {
    return (await import('./doctor.ts')).doctor
  }),
  of('completion', 'print shell completion for bash, zsh or fish', undefined, async () => {
    return (await import('./completion.ts')).completion
  }),
  {
    word: 'install-service',
    summary: 'install the monitor as a systemd service',
    run: (given) => runScript('install-systemd', given),
  },
]

function of(word: string, summary: string, name: string | undefined, load: () => Promise<Program>): Word {
  return {
    word,
    summary,
    ...(name === undefined ? {} : { program: name }),
    command: async () => (await load()).command,
    run: async (given) => {
      const { runProgram } = await import('./command.ts')
      const { command, run } = await load()
      await runProgram({ command: command.name(`port-watchdog ${word}`), run }, given)
    },
  }
}

/**
 * Runs the forwarder from its one file, as if it had been started by its own name: its replacements and workers are started with the
 * words of this process.
 */
async function runForward(given: readonly string[]): Promise<void> {
  const file = fileURLToPath(new URL('../../bin/tcp-proxy.cjs', import.meta.url))
  process.argv = [process.execPath, file, ...given]
  if (readPlainWords(given) !== undefined) {
    await import(file)
    return
  }
  // Only for help and mistakes, so that they name the command as it was typed: the forwarder reads its words itself.
  const { runProgram } = await import('./command.ts')
  const { forwarderWords, tcpProxyCommand } = await import('./tcp-proxy-command.ts')
  const run = async (...said: Parameters<typeof forwarderWords>) => {
    forwarderWords(...said)
    await import(file)
    return Number(process.exitCode ?? 0)
  }
  await runProgram({ command: tcpProxyCommand().name('port-watchdog forward'), run }, given)
}

/** A shell script of this package, with the terminal of this process. */
async function runScript(name: string, given: readonly string[]): Promise<void> {
  const file = fileURLToPath(new URL(`../../../scripts/${name}`, import.meta.url))
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
