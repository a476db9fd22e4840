import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { first, order } from '../support/ordered.ts'
import { processesWith } from '../support/process-table.ts'
import {
  programWhen,
  runningAs,
  script,
  server,
  sharePrograms,
  startPrograms,
  writePrograms,
} from '../support/programs.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, type Watched } from '../support/watched.ts'

/** For programs that end: one without `ready` has started when it has run for a second, which a busy machine may need to begin it. */
const never = { log: 'listening' }

describe('A program', { timeout: 120_000 }, () => {
  it('is started, shown, comes back after its death, and ends with the monitor', async ({ watched }) => {
    const port = await freePort()
    const monitor = await startPrograms(watched, [
      {
        name: 'web',
        command: server(port, 'console.log("hello", process.env.GREETING)'),
        env: { GREETING: 7 },
        ready: { port },
      },
    ])
    const pid = await runningAs(watched, 'web')
    expect(await askThrough(port)).toBe('served')
    process.kill(pid, 'SIGKILL')
    const again = await runningAs(watched, 'web', pid)
    expect(await askThrough(port)).toBe('served')
    await watched.logLine(new RegExp(`web is not running: PID ${pid} was killed by SIGKILL \\(failure #1\\)`))
    const table = await watched.run('proxy-status')
    expect(table.stdout).toMatch(new RegExp(`✓ web +healthy +port ${port} .* 1 \\(`))
    const page = await watched.run('proxy-status', 'web')
    expect(page.stdout).toMatch(new RegExp(`process +PID ${again}`))
    const why = await watched.run('proxy-log', '--why', 'web')
    expect(why.stdout).toMatch(/seen +PID \d+ was killed by SIGKILL[\s\S]*Back after/)
    const history = JSON.parse((await watched.run('proxy-status', '--history', '--json', 'web')).stdout)
    expect(history.forwards).toMatchObject([{ name: 'web', port: null, lastFailure: {} }])
    expect(readFileSync(watched.file('program_web.log'), 'utf8')).toContain('hello 7')
    await monitor.stop('SIGTERM')
    expect(processesWith(`listen(${port},`)).toEqual([])
    const { programs, monitor: ended } = await watched.status()
    expect(ended.state).toBe('STOPPED')
    expect(programs).toMatchObject([
      { name: 'web', state: 'down', reason: 'stopped with the monitor', pid: null },
    ])
    expect(existsSync(watched.file('program_web.pid'))).toBe(false)
  })

  it('obeys orders, and stays down when an order wants it so', async ({ watched }) => {
    const port = await freePort()
    const program = { name: 'web', command: server(port), ready: { port } }
    const monitor = await startPrograms(watched, [program, { ...sleeper('lazy'), autostart: false }])
    const pid = await runningAs(watched, 'web')
    const listed = await order(watched, 'list')
    expect(listed.answer).toMatchObject({
      output: {
        units: [
          { name: 'web', kind: 'program', phase: 'running', port, target: null },
          { name: 'lazy', phase: 'down', port: null },
        ],
      },
    })
    const restarted = first(await order(watched, 'restart', 'web'))
    expect(restarted).toMatchObject({ outcome: 'done', state: { phase: 'running' } })
    expect(restarted.state.pid).not.toBe(pid)
    expect(first(await order(watched, 'start', 'lazy'))).toMatchObject({
      outcome: 'done',
      state: { phase: 'running' },
    })
    expect(first(await order(watched, 'stop', 'web'))).toMatchObject({
      outcome: 'done',
      state: { phase: 'down' },
    })
    expect(await askThrough(port)).toBe('ECONNREFUSED')
    await monitor.stop('SIGKILL')
    await startPrograms(watched, [program])
    await programWhen(
      watched,
      'web',
      ({ state, reason }) => state === 'down' && /stopped by/.test(reason ?? ''),
    )
    expect(first(await order(watched, 'start', 'web'))).toMatchObject({ outcome: 'done' })
    expect(await askThrough(port)).toBe('served')
  })

  it('is ended with all of its session, by KILL when it does not listen', async ({ shared: watched }) => {
    const child = 'setInterval(() => {}, 1000) // deaf child'
    const deaf = script(
      'process.on("SIGTERM", () => console.log("deaf"))',
      `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(`process.on("SIGTERM", () => {}); ${child}`)}])`,
      'setInterval(() => {}, 1000)',
    )
    await sharePrograms(watched, [{ name: 'deaf', command: deaf, stop: { grace: '300ms' } }])
    await runningAs(watched, 'deaf')
    await until('its child runs', async () => (processesWith('// deaf child').length >= 2 ? true : undefined))
    expect(first(await order(watched, 'stop', 'deaf'))).toMatchObject({ outcome: 'done' })
    expect(processesWith('// deaf child')).toEqual([])
  })

  it('is not tried while somebody holds its port, who is named', async ({ shared: watched }) => {
    const port = await freePort()
    const stranger = createServer().listen(port, '127.0.0.1')
    await sharePrograms(watched, [{ name: 'held', command: server(port), ready: { port } }])
    const blocked = await programWhen(watched, 'held', ({ state }) => state === 'blocked')
    expect(blocked.reason).toMatch(new RegExp(`port (?:${port} )?is taken by PID ${process.pid} \\(`))
    const refused = first(await order(watched, 'start', 'held'))
    expect(refused.error).toMatchObject({ code: 'blocked' })
    expect(existsSync(watched.file('program_held.pid'))).toBe(false)
    stranger.close()
    await runningAs(watched, 'held')
    expect(await askThrough(port)).toBe('served')
  })

  it('that is stopped while it starts gets its signal and its grace', async ({ shared: watched }) => {
    const late = script(
      'process.on("SIGTERM", () => setTimeout(() => { console.log("tidied up"); process.exit(0) }, 200))',
      'console.log("starting")',
      'setInterval(() => {}, 1000)',
    )
    await sharePrograms(watched, [{ name: 'late', command: late, ready: { port: await freePort() } }])
    await programWhen(watched, 'late', ({ state }) => state === 'starting')
    await until('it has begun', async () => (logOf(watched, 'late').includes('starting') ? true : undefined))
    expect(first(await order(watched, 'stop', 'late'))).toMatchObject({ outcome: 'done' })
    expect(logOf(watched, 'late')).toMatch(/tidied up\n(?:.*\n)*.*ended with exit code 0/)
  })

  it('that is restarted while it starts begins anew, from what has changed since', async ({
    shared: watched,
  }) => {
    const port = await freePort()
    const written = (name: string, text: string) => writeFileSync(watched.file(name), text)
    const late = script(
      'const fs = require("node:fs")',
      'console.log("version", fs.readFileSync("version", "utf8"))',
      'const timer = setInterval(() => fs.existsSync("open") && (clearInterval(timer), listen()), 10)',
      `const listen = () => require("node:net").createServer().listen(${port}, "127.0.0.1")`,
    )
    written('version', 'one')
    await sharePrograms(watched, [
      { name: 'renewed', command: late, cwd: watched.directory, ready: { port } },
    ])
    const says = (what: string) =>
      until(what, async () => logOf(watched, 'renewed').includes(what) || undefined)
    await says('version one')
    written('version', 'two')
    const restarting = order(watched, 'restart', 'renewed')
    await says('version two')
    written('open', '')
    expect(first(await restarting)).toMatchObject({ outcome: 'done', state: { phase: 'running' } })
  })

  it('says why it could not be started', async ({ shared: watched }) => {
    const other = await freePort()
    await sharePrograms(
      watched,
      [
        { name: 'typo', command: ['no-such-program'] },
        { name: 'lost', command: ['true'], cwd: './nowhere' },
        {
          name: 'brief',
          command: script('console.error("Error: boom"); console.log("bye"); process.exit(3)'),
          ready: never,
        },
        {
          name: 'slow',
          command: script('setInterval(() => {}, 1000)'),
          ready: { port: await freePort() },
          readyWithin: '1s',
        },
        // Eight programs are started at once: this one must have come to listen.
        { name: 'elsewhere', command: server(other), ready: { port: await freePort() }, readyWithin: '6s' },
        { name: 'done', command: script('console.log("migrated")'), ready: never },
        { name: 'quiet', command: sleeper('quiet').command, ready: never, readyWithin: '1s' },
        {
          name: 'sick',
          command: sleeper('sick').command,
          ready: { command: ['sh', '-c', 'exit 4'] },
          readyWithin: '2s',
        },
      ],
      { restart: { backoff: '1m' } },
    )
    await watched.logLine(/typo could not be started: no-such-program was not found; is it in PATH\?/)
    await watched.logLine(/lost could not be started: its folder \S+nowhere does not exist/)
    await watched.logLine(
      /brief could not be started: it ended with exit code 3 before it was ready; it said: Error: boom/,
    )
    await watched.logLine(
      /slow could not be started: not ready within 1.0 s: it does not listen on port \d+, or on any other/,
    )
    const elsewhere = `not ready within 6.0 s: it does not listen on port \\d+, but on port ${other}`
    await watched.logLine(new RegExp(`elsewhere could not be started: ${elsewhere}; correct ready`))
    await watched.logLine(
      /done could not be started: it ended with exit code 0 before it was ready; .* oneshot: true; it said: migrated/,
    )
    await watched.logLine(
      /quiet could not be started: not ready within 1.0 s: it has printed no line with listening/,
    )
    await watched.logLine(/sick could not be started: not ready within 2.0 s: \S+ ended with exit code 4/)
  })

  it('that is taken out and put back within its grace ends, and is started once', async ({ watched }) => {
    const slow = script(
      `const mayGo = () => require('node:fs').existsSync(${JSON.stringify(watched.file('go'))})`,
      'const go = () => { if (!mayGo()) return; console.log("tidied up"); process.exit(0) }',
      'process.on("SIGTERM", () => { console.log("tidying up"); setInterval(go, 20) })',
      'console.log("up"); setInterval(() => {}, 1000)',
    )
    const programs = [{ name: 'slow', command: slow }, sleeper('other')]
    await startPrograms(watched, programs)
    const pid = await runningAs(watched, 'slow')
    writePrograms(watched, programs.slice(1))
    const out = watched.run('proxy-ctl', 'reload')
    await until('it ends', async () => (logOf(watched, 'slow').includes('tidying up') ? true : undefined))
    writePrograms(watched, programs)
    const back = watched.run('proxy-ctl', 'reload')
    await watched.logLine(/configuration changed: added slow|added slow/i)
    writeFileSync(watched.file('go'), '')
    await Promise.all([out, back])
    await runningAs(watched, 'slow', pid)
    expect(existsSync(`/proc/${pid}`)).toBe(false)
    // One output, in order, without a gap or a number that is there twice.
    const { stdout } = await watched.run('proxy-ctl', 'logs', 'slow', '--json')
    const { lines } = (JSON.parse(stdout) as { output: { lines: { seq: number; text: string }[] } }).output
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, index) => index + 1))
    expect(lines.map(({ text }) => text)).toEqual([
      expect.stringMatching(/^started/),
      'up',
      'tidying up',
      'tidied up',
      'ended with exit code 0',
      expect.stringMatching(/^started/),
      'up',
    ])
  })

  it('that could not be run has said nothing: what is told is not of the one before', async ({
    shared: watched,
  }) => {
    const file = watched.file('app')
    writeFileSync(
      file,
      `#!/bin/sh\necho words of the first; exec ${process.execPath} -e 'setInterval(() => {}, 1000)'\n`,
      {
        mode: 0o755,
      },
    )
    await sharePrograms(watched, [{ name: 'app', command: [file] }], { restart: { backoff: '1m' } })
    const pid = await runningAs(watched, 'app')
    rmSync(file)
    process.kill(pid, 'SIGKILL')
    const { reason } = await programWhen(watched, 'app', ({ state, reason }) => {
      return state === 'backoff' && /cannot be run/.test(reason ?? '')
    })
    expect(reason).not.toContain('words of the first')
  })

  it('that a killed monitor has left is ended and started by the next one', async ({ watched }) => {
    const port = await freePort()
    const programs = [{ name: 'web', command: server(port), ready: { port } }]
    const monitor = await startPrograms(watched, programs)
    const pid = await runningAs(watched, 'web')
    await monitor.stop('SIGKILL')
    const { programs: left } = await watched.status()
    expect(left).toMatchObject([{ name: 'web', state: 'degraded', pid }])
    await startPrograms(watched, programs)
    await runningAs(watched, 'web', pid)
    await watched.logLine(new RegExp(`web still runs as PID ${pid}, started by a monitor that was killed`))
    expect(processesWith(`listen(${port},`)).toHaveLength(1)
  })

  for (const keep of [false, true])
    it(`whose monitor is killed in the moment of its start is not started twice${keep ? ', kept or not' : ''}`, async ({
      watched,
    }) => {
      const mark = `mark-${process.pid}-${Date.now()}`
      const killer = `[ -e begun ] || { : > begun; kill -9 $PPID; }; sleep 1000; : ${mark}`
      const programs = [{ name: 'web', command: ['sh', '-c', killer], cwd: watched.directory, keep }]
      const words = ['--config', writePrograms(watched, programs)]
      await watched.start('proxy-monitor', ...words).ended()
      await until('the first one runs', async () => processesWith(mark)[0])
      await startPrograms(watched, programs)
      await runningAs(watched, 'web')
      expect(processesWith(mark)).toHaveLength(1)
    })

  it('that is added, changed or removed while the monitor runs is followed', async ({ watched }) => {
    const monitor = await startPrograms(watched, [sleeper('a'), sleeper('b')])
    const a = await runningAs(watched, 'a')
    const b = await runningAs(watched, 'b')
    writePrograms(watched, [{ ...sleeper('b'), env: { X: 1 } }, sleeper('c')])
    monitor.stop('SIGHUP')
    await runningAs(watched, 'c')
    await runningAs(watched, 'b', b)
    await watched.logLine(/Configuration changed: added c; removed a; changed b/)
    await until('a is gone', async () => (existsSync(`/proc/${a}`) ? undefined : true))
    const { programs } = await watched.status()
    expect(programs.map(({ name }) => name)).toEqual(['b', 'c'])
  })

  it('is ready when it prints a certain line', async ({ shared: watched }) => {
    const go = JSON.stringify(watched.file('go'))
    const words = script(
      `const timer = setInterval(() => require('node:fs').existsSync(${go}) && tell(), 20)`,
      'const tell = () => { clearInterval(timer); console.log("\\x1b[32mready\\x1b[0m in 7 ms") }',
      'setInterval(() => {}, 1000)',
    )
    await sharePrograms(watched, [{ name: 'printer', command: words, ready: { log: 'ready in \\d+ ms' } }])
    await programWhen(watched, 'printer', ({ state }) => state === 'starting')
    writeFileSync(watched.file('go'), '')
    await runningAs(watched, 'printer')
  })

  it('whose process is suspended is ended and started again', async ({ shared: watched }) => {
    await sharePrograms(watched, [sleeper('frozen')])
    const pid = await runningAs(watched, 'frozen')
    process.kill(pid, 'SIGSTOP')
    await runningAs(watched, 'frozen', pid)
    await watched.logLine(new RegExp(`frozen is stopped \\(SIGSTOP\\) as PID ${pid} \\(failure #1\\)`))
  })

  it('gets variables by a list, and none of the monitor’s secrets', async ({ shared: watched }) => {
    writeFileSync(watched.file('.env'), 'A=file\nB=file # a comment\n')
    const show = script('console.log(JSON.stringify(process.env))', 'setInterval(() => {}, 1000)')
    const env = { A: 'own', PORT: 5173 }
    await sharePrograms(watched, [{ name: 'env', command: show, env, envFile: '.env', passEnv: ['VITEST'] }])
    await runningAs(watched, 'env')
    const seen = await until('its variables are printed', async () => {
      const printed = /^\{.*\}$/m.exec(readFileSync(watched.file('program_env.log'), 'utf8'))?.[0]
      return printed === undefined ? undefined : JSON.parse(printed)
    })
    expect(seen).toMatchObject({
      A: 'own',
      B: 'file',
      PORT: '5173',
      PORT_WATCHDOG_PROGRAM: 'env',
      VITEST: 'true',
    })
    expect(Object.keys(seen)).toContain('PATH')
    expect(Object.keys(seen)).not.toContain('VITEST_WORKER_ID')
    rmSync(watched.file('.env'))
    await order(watched, 'restart', 'env', '--no-wait')
    await watched.logLine(/env could not be started: its file of variables cannot be read: ENOENT/)
  })

  it('that sends itself to the background is told, and leaves nothing', async ({ shared: watched }) => {
    const child = 'setInterval(() => {}, 1000) // away child'
    const away = script(
      `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { stdio: 'inherit' }).unref()`,
      'process.exit(0)',
    )
    const programs = [{ name: 'away', command: away, ready: never }]
    await sharePrograms(watched, programs, { restart: { backoff: '1m' } })
    await watched.logLine(
      /away could not be started: it ended with exit code 0 before it was ready; it has left PID \d+ in the background/,
    )
    await until('it is gone', async () => (processesWith('// away child').length === 0 ? true : undefined))
  })

  it('above its limit of memory is restarted where that is asked for', async ({ shared: watched }) => {
    const leak = script('const kept = Buffer.alloc(150e6, 1); setInterval(() => kept.length, 1000)')
    const limits = { memory: '100M', action: 'restart' }
    await sharePrograms(watched, [{ name: 'leak', command: leak, limits }])
    const pid = await runningAs(watched, 'leak').catch(() => 0)
    await watched.logLine(
      /leak was ended \(PID: \d+\): it uses \d+ MiB of memory, more than its limit of 100 MiB/,
    )
    expect(pid).toBeGreaterThanOrEqual(0)
  })
})

/** Its log file as a person reads it; empty while there is none. */
function logOf(watched: Watched, name: string): string {
  const file = watched.file(`program_${name}.log`)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

function sleeper(name: string) {
  return { name, command: script(`setInterval(() => {}, 1000) // ${name}`) }
}
