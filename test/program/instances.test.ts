// Copies of a program, the forward that spreads over them, and the order that sets how many there are.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { describe, expect } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { it } from '../support/fixtures.ts'
import { order, phaseOf } from '../support/ordered.ts'
import { runningAs, script, sharePrograms, startPrograms, writePrograms } from '../support/programs.ts'
import { freePort, until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

/** Says its name to whoever connects, and sends back what it gets. It takes connections before it says that it is ready: when `go-N` is there. */
const server = script(
  `const { PORT, PORT_WATCHDOG_PROGRAM: name, PORT_WATCHDOG_INSTANCE: number, GO } = process.env`,
  `const look = () => require('node:fs').existsSync(GO + number) ? console.log('ready') : setTimeout(look, 20)`,
  `require('node:net').createServer((s) => s.on('error', () => {}).pipe(s).write(name + ' '))`,
  `  .listen(PORT, '127.0.0.1', look)`,
)

interface Client {
  /** The copy that answers. */
  readonly name: string
  readonly socket: Socket
  /** What has come besides. */
  readonly text: () => string
}

function connect(port: number): Promise<Client> {
  const socket = createConnection({ port, host: '127.0.0.1' })
  let text = ''
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`closed after ${JSON.stringify(text)}`)))
    socket.on('data', (data) => {
      text += String(data)
      const [name = '', rest] = text.split(' ')
      if (rest !== undefined) resolve({ name, socket, text: () => text.slice(name.length + 1) })
    })
  })
}

async function connectAll(port: number, count: number): Promise<Client[]> {
  const clients: Client[] = []
  for (let made = 0; made < count; made++) clients.push(await connect(port))
  return clients
}

/** All that a server says before it ends the connection; what went wrong when it says nothing. */
function answerOf(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const socket = createConnection({ port, host: '127.0.0.1' })
    socket.on('error', (error) => resolve(String(error)))
    socket.on('data', (data) => {
      text += String(data)
    })
    socket.on('close', () => resolve(text))
  })
}

const namesOf = (clients: readonly Client[]) => clients.map(({ name }) => name).sort()

function end(clients: readonly Client[]): void {
  for (const { socket } of clients) socket.destroy()
}

/** Four ports in a row that are free; the first one. */
async function freeRow(): Promise<number> {
  for (;;) {
    const row = [await freePort(), await freePort(), await freePort(), await freePort()] as const
    if (row.every((port, at) => port === row[0] + at)) return row[0]
  }
}

async function unitNames(watched: Watched): Promise<readonly string[]> {
  const { stdout } = await order(watched, 'list')
  const { output } = JSON.parse(stdout) as {
    readonly output: { readonly units: readonly { name: string }[] }
  }
  return output.units.map(({ name }) => name)
}

/** Waits until the forwarder gives new connections to these. */
async function spreadsOver(watched: Watched, port: number, ...names: string[]): Promise<void> {
  await until(`new connections go to ${names.join(', ') || 'nobody'}`, async () => {
    const health = await askControl(watched.file(`tcp_proxy_${port}.sock`), 'health', {}, 5_000)
    const { program } = health as { readonly program: { readonly ready: readonly { name: string }[] } }
    if (program.ready.map(({ name }) => name).join() === names.join()) return true
    throw new Error(JSON.stringify(program))
  })
}

describe('A program with copies', { timeout: 240_000 }, () => {
  it('is spread over by a forward, and scaled without cutting a connection', async ({ watched }) => {
    const [front, base] = [await freePort(), await freeRow()]
    const programs = [
      {
        name: 'web',
        command: server,
        env: { PORT: base, GO: watched.file('go-') },
        ready: { log: 'ready' },
        instances: 2,
        maxInstances: 4,
      },
    ]
    const forwards = [
      {
        name: 'front',
        listen: front,
        target: 'program:web',
        drain: '60s',
        dialRetry: '1s',
        accessLog: watched.file('access.log'),
      },
    ]
    const monitor = await startPrograms(watched, programs, { forwards })
    writeFileSync(watched.file('go-1'), '')
    await runningAs(watched, 'web-1')
    // web-2 listens, and has not said that it is ready.
    await spreadsOver(watched, front, 'web-1')
    const early = await connectAll(front, 4)
    expect(namesOf(early)).toEqual(['web-1', 'web-1', 'web-1', 'web-1'])
    for (const number of [2, 3, 4]) writeFileSync(watched.file(`go-${number}`), '')
    await spreadsOver(watched, front, 'web-1', 'web-2')
    // The one with fewer connections gets them until both have four, then each in turn.
    const later = await connectAll(front, 6)
    expect(namesOf(later)).toEqual(['web-1', 'web-2', 'web-2', 'web-2', 'web-2', 'web-2'])

    const up = await order(watched, 'scale', 'web', '3')
    expect(up.answer).toMatchObject({ done: true, output: { before: 2, instances: 3, outcome: 'done' } })
    expect(up.units.map(({ state }) => `${state.name} ${state.phase}`)).toEqual(['web-3 running'])
    await spreadsOver(watched, front, 'web-1', 'web-2', 'web-3')
    const third = await connect(front)
    expect(third.name).toBe('web-3')
    const again = await order(watched, 'scale', 'web', '3')
    expect(again.answer).toMatchObject({ done: true, output: { outcome: 'already', units: [] } })

    // Scaled down while a client is connected: it finishes first.
    const scaled = order(watched, 'scale', 'web', '2')
    await spreadsOver(watched, front, 'web-1', 'web-2')
    third.socket.write('still there')
    await until('the leaving copy answers', async () => third.text() === 'still there')
    third.socket.end()
    expect((await scaled).answer).toMatchObject({ done: true, output: { before: 3, instances: 2 } })
    expect(watched.log()).toMatch(/Configuration changed: .* has scaled web to 3 copies: added web-3/)

    // A copy that an order stops gets no more; the name of the program means all of them.
    await order(watched, 'stop', 'web-2')
    await spreadsOver(watched, front, 'web-1')
    await order(watched, 'start', 'web-2')
    await spreadsOver(watched, front, 'web-1', 'web-2')

    // The forwarder keeps what it was told, and the next monitor knows how many there are to be.
    await order(watched, 'scale', 'web', '1')
    await monitor.stop('SIGKILL')
    end([...early, ...later])
    expect(namesOf(await connectAll(front, 2))).toEqual(['web-1', 'web-1'])
    const next = await startPrograms(watched, programs, { forwards })
    await phaseOf(watched, 'web-1', 'running')
    expect(await unitNames(watched)).toEqual(['front', 'web-1'])

    // The name of the program stands for its copies wherever a unit is named.
    const group = await watched.run('proxy-status', 'web')
    expect(group.stdout).toMatch(/^ {2}web: 1 copy, 1 healthy$/m)
    expect(group.stdout).toMatch(/^web-1: last events/m)

    const stopped = await order(watched, 'stop', 'web')
    expect(stopped.units.map(({ state }) => state.name)).toEqual(['web-1'])
    await spreadsOver(watched, front)
    await expect(connect(front)).rejects.toThrow()
    const report = await watched.statusWhen('the forward says why', ({ forwards: [one] }) => {
      return one?.state === 'unreachable'
    })
    expect(report.forwards[0]?.reason).toBe('program web is not ready')
    await until('the access log says why', async () => {
      const lines = readFileSync(watched.file('access.log'), 'utf8').trim().split('\n')
      const last = JSON.parse(lines.at(-1) ?? '{}') as { readonly code?: string; readonly reason?: string }
      return last.code === 'SC' && last.reason === 'program web is not ready'
    })
    await next.stop('SIGTERM')
  })

  it('is restarted one copy after another, and a forward refuses nobody meanwhile', async ({
    shared: watched,
  }) => {
    const [front, base] = [await freePort(), await freeRow()]
    const answers = script(
      `const { PORT, PORT_WATCHDOG_PROGRAM: name, BAD } = process.env`,
      `if (name === 'web-2' && require('node:fs').existsSync(BAD)) process.exit(3)`,
      `const server = require('node:net').createServer((s) => s.on('error', () => {}).end(name + ' ' + process.pid))`,
      `process.on('SIGTERM', () => server.close(() => process.exit()))`,
      `server.listen(PORT, '127.0.0.1')`,
    )
    const web = {
      name: 'web',
      command: answers,
      env: { BAD: watched.file('bad') },
      ready: { port: base },
      instances: 3,
      // One that fails is seen to wait for its next try.
      restart: { backoff: '1s' },
    }
    const forwards = [{ name: 'front', listen: front, target: 'program:web', drain: '5s', dialRetry: 0 }]
    await sharePrograms(watched, [web], { forwards })
    for (const name of ['web-1', 'web-2', 'web-3']) await runningAs(watched, name)
    await spreadsOver(watched, front, 'web-1', 'web-2', 'web-3')
    const listed = await watched.run('proxy-status', 'web')
    expect(listed.stdout).toMatch(/^ {2}web: 3 copies, 3 healthy$/m)
    expect(listed.stdout.match(/^✓ web-\d +healthy/gm)).toHaveLength(3)

    let isOver = false
    const served: string[] = []
    const asking = (async () => {
      while (!isOver) served.push(await answerOf(front))
    })()
    const restarted = await order(watched, 'restart', 'web')
    isOver = true
    await asking
    expect(restarted.answer).toMatchObject({ done: true })
    expect(restarted.units.map(({ outcome, state }) => `${outcome} ${state.name}`)).toEqual([
      'done web-1',
      'done web-2',
      'done web-3',
    ])
    expect(served.filter((text) => !/^web-[123] \d+$/.test(text))).toEqual([])
    expect(new Set(served).size, 'before and after').toBeGreaterThan(3)
    // Each was ready again before the next was ended.
    const told = readFileSync(watched.file('events.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name?: string; to?: string })
      .filter(({ name, to }) => name?.startsWith('web-') && (to === 'stopping' || to === 'running'))
      .map(({ name, to }) => `${name} ${to}`)
    const roll = ['web-1', 'web-2', 'web-3'].flatMap((name) => [`${name} stopping`, `${name} running`])
    expect(told.slice(told.indexOf('web-1 stopping'))).toEqual(roll)

    // One that does not become ready ends the restart; the next ones go on as they are.
    writeFileSync(watched.file('bad'), '')
    const before = await runningAs(watched, 'web-3')
    const failed = await order(watched, 'restart', 'web')
    expect(failed.units.map(({ outcome, error, state }) => [state.name, outcome, error?.code])).toEqual([
      ['web-1', 'done', undefined],
      ['web-2', 'failed', 'failed'],
      ['web-3', 'failed', 'replacement-failed'],
    ])
    expect(failed.units[2]?.error?.message).toBe(
      'web-3 was not restarted, because web-2 did not become ready: it goes on as it is',
    )
    expect(await runningAs(watched, 'web-3')).toBe(before)
    rmSync(watched.file('bad'))
    const all = await order(watched, 'restart', 'web', '--all-at-once')
    expect(all.units.map(({ outcome }) => outcome)).toEqual(['done', 'done', 'done'])
  })

  it('is started anew one copy after another when its files or its configuration change', async ({
    shared: watched,
  }) => {
    const bad = watched.file('app-bad')
    const answers = script(
      `const { PORT_WATCHDOG_PROGRAM: name, BAD } = process.env`,
      `if (name === 'app-2' && require('node:fs').existsSync(BAD)) process.exit(3)`,
      `console.log('ready')`,
      `setInterval(() => {}, 1000)`,
    )
    const programs = (version: number) => [
      {
        name: 'app',
        command: answers,
        env: { BAD: bad, VERSION: `${version}` },
        ready: { log: 'ready' },
        instances: 3,
        watch: { files: ['app.js'], debounce: '100ms' },
        restart: { backoff: '1s' },
      },
      { name: 'user', command: script('setInterval(() => {}, 1000)'), dependsOn: ['app'] },
    ]
    const names = ['app-1', 'app-2', 'app-3']
    writeFileSync(watched.file('app.js'), '1')
    await sharePrograms(watched, programs(1))
    const pids = async (before: readonly number[] = []) => {
      const found: number[] = []
      for (const [index, name] of names.entries()) found.push(await runningAs(watched, name, before[index]))
      return found
    }
    const rolls = () => {
      const told = readFileSync(watched.file('events.jsonl'), 'utf8').trim().split('\n')
      return told
        .map((line) => JSON.parse(line) as { name?: string; from?: string; to?: string })
        .filter(
          ({ name, from, to }) => name?.startsWith('app-') && (to === 'stopping' || from === 'starting'),
        )
        .map(({ name, to }) => `${name} ${to}`)
    }
    const first = await pids()
    const user = await runningAs(watched, 'user')
    const begun = rolls().length
    writeFileSync(watched.file('app.js'), '2')
    const second = await pids(first)
    const third = await runningAs(watched, 'user', user)
    writePrograms(watched, programs(2))
    await order(watched, 'reload')
    const latest = await pids(second)
    const changes = rolls().slice(begun)
    expect(changes).toHaveLength(12)
    for (let at = 0; at < changes.length; at += 2) {
      const [name] = changes[at]?.split(' ') ?? []
      expect(changes.slice(at, at + 2), `${changes}`).toEqual([`${name} stopping`, `${name} running`])
    }
    expect(await runningAs(watched, 'user'), 'its dependant was restarted once').toBe(third)

    // One that does not become ready: those after it go on as they are, until it is.
    writeFileSync(bad, '')
    writePrograms(watched, programs(3))
    await order(watched, 'reload')
    await watched.logLine(/app-3 goes on as it is until app-2, which was started anew first, is ready/)
    expect(await runningAs(watched, 'app-3')).toBe(latest[2])
    rmSync(bad)
    await pids(latest)
  })

  it('is scaled within bounds, and another number in the file counts more', async ({ watched }) => {
    const idle = { name: 'worker', command: script('setInterval(() => {}, 1000)'), ready: undefined }
    const programs = (instances: number) => [
      { ...idle, instances, maxInstances: 3 },
      { ...idle, name: 'one' },
    ]
    const monitor = await startPrograms(watched, programs(1))
    const code = async (...words: string[]) => {
      const { answer } = await order(watched, 'scale', ...words)
      return 'error' in answer ? `${answer.error.code}: ${answer.error.message}` : answer.done
    }
    await runningAs(watched, 'worker-1')
    expect(await code('worker', '4')).toBe('invalid-argument: worker may have 3 copies at most')
    expect(await code('one', '2')).toBe(
      'no-instances: one has no copies: its configuration does not say instances',
    )
    expect(await code('worker-1', '2')).toBe('unknown-unit: worker-1 is one copy of worker')
    expect(await code('nobody', '2')).toBe('unknown-unit: there is no program "nobody"')
    // The second waits for what the first has begun.
    const both = await Promise.all([1, 2].map(() => order(watched, 'scale', 'worker', '3')))
    expect(both.map(({ answer }) => answer)).toMatchObject([
      { done: true, output: { outcome: 'done' } },
      { done: true, output: { outcome: 'done' } },
    ])
    expect(both.flatMap(({ units }) => units.map(({ state }) => state.phase))).not.toContain('starting')
    await monitor.stop('SIGTERM')
    const second = await startPrograms(watched, programs(1))
    await runningAs(watched, 'worker-3')
    await second.stop('SIGTERM')
    // The file says something else now, later than the order.
    const third = await startPrograms(watched, programs(2))
    await runningAs(watched, 'worker-2')
    expect(await unitNames(watched)).toEqual(['worker-1', 'worker-2', 'one'])
    await third.stop('SIGTERM')
  })
})
