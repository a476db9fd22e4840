// Who keeps the forwarders alive, and how each is told to.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runTool } from '../forwarders/processes.ts'
import { untilServed } from './client.ts'
import { type Forward, forwarderCommand, killStrays, stateDirectory } from './forwards.ts'
import {
  inForeground,
  type Limits,
  lastWords,
  type Post,
  type Supervisor,
  type Watchdog,
} from './supervisor.ts'
import { systemd } from './systemd.ts'

export const OURS = 'port-watchdog'

/** Long enough for 200 forwarders on a small machine. */
const START_LIMIT_MS = 120_000

const holdsNone = 'it passes no sockets on'

/** A number that no bench reaches and that every configuration can hold. */
const NEVER = 1_000_000_000

/** `folder` is made here and must not be there yet. */
export async function post(
  supervisor: Supervisor,
  forwards: readonly Forward[],
  folder: string,
  limits: Limits,
): Promise<Post> {
  mkdirSync(stateDirectory(folder), { recursive: true, mode: 0o700 })
  const stop = async (watchdog: Watchdog | undefined) => {
    await watchdog?.stop()
    killStrays(folder)
  }
  let watchdog: Watchdog | undefined
  try {
    watchdog = await supervisor.start(forwards, folder, limits)
    for (const { port } of forwards) {
      const served = await untilServed(port, { limitMs: START_LIMIT_MS, pauseMs: 20 })
      if (served === undefined)
        throw new Error(`${supervisor.name} does not get port ${port} served: ${lastWords(folder)}`)
    }
  } catch (error) {
    await stop(watchdog)
    throw error
  }
  const { pid } = watchdog
  return { supervisor, forwards, pid, stop: () => stop(watchdog) }
}

export function supervisors(root: string): Supervisor[] {
  return [ours(root), systemd(root), supervisord(root), monit(root), pm2(root), shellLoop(root)]
}

function ours(root: string): Supervisor {
  const program = join(root, 'dist/bin/proxy-monitor.cjs')
  return {
    name: OURS,
    missing: existsSync(program) ? undefined : 'not built',
    looksEvery: undefined,
    lanes: 1,
    limited: true,
    cannotHold: whereIs('systemd-socket-activate') ? undefined : 'systemd-socket-activate is not installed',
    async start(forwards, folder, limits) {
      const file = join(folder, 'port-watchdog.json')
      writeFileSync(
        file,
        JSON.stringify({
          ...(limits !== 'shipped' && { restart: { resetAfter: 0, flappingRestarts: 0 } }),
          forwards: forwards.map(({ port, target }) => ({
            name: `bench-${port}`,
            listen: port,
            target: `127.0.0.1:${target}`,
            bind: '127.0.0.1',
          })),
        }),
      )
      const state = ['--config', file, '--state-dir', stateDirectory(folder)]
      const run = [process.execPath, program, ...state]
      if (limits !== 'held') return inForeground(run, folder)
      // It becomes the monitor at the first connect.
      const listen = forwards.map(({ port }) => `--listen=127.0.0.1:${port}`)
      return inForeground(['systemd-socket-activate', ...listen, ...run], folder)
    },
  }
}

function supervisord(root: string): Supervisor {
  return {
    name: 'supervisord',
    missing: whereIs('supervisord') ? undefined : 'not installed',
    // It acts on a child's end at once or at its next turn, a second apart.
    looksEvery: 1000,
    lanes: 1,
    limited: true,
    cannotHold: holdsNone,
    async start(forwards, folder, limits) {
      const file = join(folder, 'supervisord.conf')
      const programs = forwards.map(
        (forward) => `[program:forward-${forward.port}]
command=${forwarderCommand(root, forward, folder).join(' ')}
autorestart=true
${limits === 'lifted' ? `startretries=${NEVER}` : ''}
`,
      )
      writeFileSync(
        file,
        `[supervisord]
nodaemon=true
logfile=${join(folder, 'supervisord.log')}
pidfile=${join(folder, 'supervisord.pid')}
childlogdir=${folder}
minfds=4096
${programs.join('\n')}`,
      )
      return inForeground(['supervisord', '-c', file], folder)
    },
  }
}

function monit(root: string): Supervisor {
  return {
    name: 'monit',
    missing: whereIs('monit') ? undefined : 'not installed',
    looksEvery: 1000,
    lanes: 1,
    limited: true,
    cannotHold: holdsNone,
    async start(forwards, folder, limits) {
      const file = join(folder, 'monitrc')
      const checks = forwards.map(({ port, target }) => {
        const pidFile = join(stateDirectory(folder), `tcp_proxy_${port}.pid`)
        const command = forwarderCommand(root, { port, target }, folder).join(' ')
        // It waits for what it runs, so that has to go into the background.
        return `check process forward-${port} with pidfile "${pidFile}"
  start program = "/bin/sh -c '${command} >/dev/null 2>&1 &'"
  stop program = "/bin/sh -c 'kill $(cat ${pidFile})'"
`
      })
      // Debian ships a cycle of 120 s; a second is the shortest that can be had.
      const cycle = limits === 'lifted' ? 1 : 120
      writeFileSync(file, `set daemon ${cycle}\nset idfile "${folder}/id"\n${checks.join('')}`, {
        mode: 0o600,
      })
      const own = [
        '-l',
        join(folder, 'monit.log'),
        '-p',
        join(folder, 'monit.pid'),
        '-s',
        join(folder, 'monit.state'),
      ]
      return inForeground(['monit', '-I', '-c', file, ...own], folder)
    },
  }
}

function pm2(root: string): Supervisor {
  const program = join(root, '.cache/pm2/node_modules/pm2/bin/pm2')
  return {
    name: 'pm2',
    missing: existsSync(program) ? undefined : 'not fetched',
    looksEvery: undefined,
    lanes: 1,
    limited: true,
    cannotHold: holdsNone,
    async start(forwards, folder, limits) {
      const file = join(folder, 'ecosystem.config.json')
      const home = join(folder, 'pm2')
      const apps = forwards.map((forward) => {
        const [script, ...args] = forwarderCommand(root, forward, folder)
        const lifted = limits === 'lifted' ? { max_restarts: NEVER } : {}
        return {
          name: `forward-${forward.port}`,
          script,
          args,
          interpreter: 'none',
          autorestart: true,
          ...lifted,
        }
      })
      writeFileSync(file, JSON.stringify({ apps }))
      const environment = [`PM2_HOME=${home}`, 'PM2_DISABLE_VERSION_CHECK=true', `HOME=${folder}`]
      await runTool(['env', ...environment, process.execPath, program, 'start', file], START_LIMIT_MS / 1000)
      // Its daemon is in a session of its own.
      const pid = Number(readFileSync(join(home, 'pm2.pid'), 'utf8'))
      return { pid, stop: async () => killStrays(folder) }
    },
  }
}

const LOOP_SECONDS = 10

function shellLoop(root: string): Supervisor {
  return {
    name: `${LOOP_SECONDS} s shell loop`,
    missing: undefined,
    looksEvery: LOOP_SECONDS * 1000,
    lanes: 5,
    limited: false,
    cannotHold: holdsNone,
    async start(forwards, folder) {
      const file = join(folder, 'commands')
      writeFileSync(
        file,
        forwards.map((forward) => `${forwarderCommand(root, forward, folder).join(' ')}\n`).join(''),
      )
      const script = join(root, 'scripts/bench/supervisors/shell-loop')
      return inForeground(['bash', script, `${LOOP_SECONDS}`, file], folder)
    },
  }
}

function whereIs(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$0"', program]).status === 0
}
