// The tools that keep the programs alive, and how each is configured.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runTool } from '../forwarders/processes.ts'
import { killStrays, stateDirectory } from '../supervisors/forwards.ts'
import { inForeground, type Watchdog } from '../supervisors/supervisor.ts'

export const OURS = 'port-watchdog'

/** A program to be kept. */
export interface App {
  readonly name: string
  readonly command: readonly string[]
  /** Where it listens, when it does. */
  readonly port?: number
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** What only our configuration can say of it. */
  readonly ours?: Readonly<Record<string, unknown>>
}

export interface Keeper {
  readonly name: string
  /** Why it cannot run here; undefined when it can. */
  readonly missing: string | undefined
  /** False for one that ends with the first of its programs. */
  readonly restarts: boolean
  /** The file in which it keeps what a program prints. */
  readonly logOf: (folder: string, app: string) => string
  readonly start: (apps: readonly App[], folder: string) => Promise<Watchdog>
}

/** Starts a keeper in a folder that is made here; `stop` ends all that it has started. */
export async function startKeeper(keeper: Keeper, apps: readonly App[], folder: string): Promise<Watchdog> {
  mkdirSync(stateDirectory(folder), { recursive: true, mode: 0o700 })
  const { pid, stop } = await keeper.start(apps, folder)
  return {
    pid,
    stop: async () => {
      await stop()
      killStrays(folder)
    },
  }
}

export function keepers(root: string): readonly Keeper[] {
  return [ours(root), supervisord(), pm2(root), foreman()]
}

function ours(root: string): Keeper {
  const program = join(root, 'dist/bin/proxy-monitor.cjs')
  return {
    name: OURS,
    missing: existsSync(program) ? undefined : 'not built',
    restarts: true,
    logOf: (folder, app) => join(stateDirectory(folder), `program_${app}.log`),
    async start(apps, folder) {
      const file = join(folder, 'port-watchdog.json')
      const programs = apps.map(({ port, ours, ...app }) => ({
        ...app,
        ...(port !== undefined && { ready: { port } }),
        ...ours,
      }))
      writeFileSync(file, JSON.stringify({ restart: { resetAfter: 0, flappingRestarts: 0 }, programs }))
      const words = ['--config', file, '--state-dir', stateDirectory(folder)]
      return inForeground([process.execPath, program, ...words], folder)
    },
  }
}

/** A number that no bench reaches and that every configuration can hold. */
const NEVER = 1_000_000_000

function supervisord(): Keeper {
  const logOf = (folder: string, app: string) => join(folder, `${app}.log`)
  return {
    name: 'supervisord',
    missing: whereIs('supervisord') ? undefined : 'not installed',
    restarts: true,
    logOf,
    async start(apps, folder) {
      const file = join(folder, 'supervisord.conf')
      const programs = apps.map(
        ({ name, command, cwd, env = {} }) => `[program:${name}]
command=${command.map(quoted).join(' ')}
${cwd === undefined ? '' : `directory=${cwd}\n`}environment=${Object.entries(env)
          .map(([variable, value]) => `${variable}="${value}"`)
          .join(',')}
autorestart=true
startretries=${NEVER}
redirect_stderr=true
stdout_logfile=${logOf(folder, name)}
`,
      )
      writeFileSync(
        file,
        `[supervisord]
nodaemon=true
logfile=${join(folder, 'supervisord.log')}
pidfile=${join(folder, 'supervisord.pid')}
minfds=4096
[unix_http_server]
file=${supervisorSocket(folder)}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
${programs.join('\n')}`,
      )
      return inForeground(['supervisord', '-c', file], folder)
    },
  }
}

/** Where `supervisorctl -s unix://…` asks. */
export function supervisorSocket(folder: string): string {
  return join(folder, 'supervisor.sock')
}

/** What pm2 needs in its environment to keep to a folder. */
export function pm2Environment(folder: string): Readonly<Record<string, string>> {
  return { PM2_HOME: join(folder, 'pm2'), PM2_DISABLE_VERSION_CHECK: 'true', HOME: folder }
}

/** The file of its command line. */
export function pm2Program(root: string): string {
  return join(root, '.cache/pm2/node_modules/pm2/bin/pm2')
}

function pm2(root: string): Keeper {
  const program = pm2Program(root)
  const logOf = (folder: string, app: string) => join(folder, `${app}.log`)
  return {
    name: 'pm2',
    missing: existsSync(program) ? undefined : 'not fetched',
    restarts: true,
    logOf,
    async start(apps, folder) {
      const file = join(folder, 'ecosystem.config.json')
      const entries = apps.map(({ name, command: [script, ...args], cwd, env }) => ({
        name,
        script,
        cwd,
        env,
        args,
        interpreter: 'none',
        max_restarts: NEVER,
        out_file: logOf(folder, name),
        error_file: logOf(folder, name),
      }))
      writeFileSync(file, JSON.stringify({ apps: entries }))
      const environment = Object.entries(pm2Environment(folder)).map(([name, value]) => `${name}=${value}`)
      await runTool(['env', ...environment, process.execPath, program, 'start', file], 180)
      // Its daemon is in a session of its own.
      const pid = Number(readFileSync(join(folder, 'pm2', 'pm2.pid'), 'utf8'))
      return { pid, stop: async () => killStrays(folder) }
    },
  }
}

/** It prints what its programs print, each line with its time and name; here into a file. */
function foreman(): Keeper {
  return {
    name: 'foreman',
    missing: whereIs('foreman') ? undefined : 'not installed',
    restarts: false,
    logOf: (folder) => join(folder, 'output.log'),
    async start(apps, folder) {
      const file = join(folder, 'Procfile')
      const lines = apps.map(({ name, command }) => `${name}: ${command.map(quoted).join(' ')}\n`)
      writeFileSync(file, lines.join(''))
      return inForeground(['foreman', 'start', '-f', file], folder)
    },
  }
}

/** A word as a shell reads it, and supervisord. */
function quoted(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word}'`
}

function whereIs(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$0"', program]).status === 0
}
