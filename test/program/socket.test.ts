// `socket`: a port that the monitor holds for a program, so that a restart refuses nobody.
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe, expect } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { it } from '../support/fixtures.ts'
import { order } from '../support/ordered.ts'
import {
  programWhen,
  refusalOf,
  runningAs,
  script,
  sharePrograms,
  writePrograms,
} from '../support/programs.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough } from '../support/watched.ts'

/** Answers each connection with the PID, what it was given, and finishes those that it has when it is ended. */
const web = script(
  `const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env`,
  `const given = [LISTEN_PID === String(process.pid), LISTEN_FDS, LISTEN_FDNAMES].join()`,
  `const server = require('node:net').createServer((s) => s.on('error', () => {}).end(given))`,
  `server.listen({ fd: 3 }, () => console.log('accepts'))`,
  `process.on('SIGTERM', () => server.close(() => process.exit()))`,
)
const ready = { log: 'accepts' }

describe('A program whose socket the monitor holds', { timeout: 240_000 }, () => {
  it('refuses none of 1,000 connections over 20 restarts', async ({ shared: watched }) => {
    const port = await freePort()
    await sharePrograms(watched, [{ name: 'steady', command: web, ready, socket: port }])
    const answers = new Map<string, number>()
    let pid = await runningAs(watched, 'steady')
    for (let count = 0; count < 20; count++) {
      // One that dies is no other case.
      if (count % 4 === 3) process.kill(pid, 'SIGTERM')
      const asked = { order: 'restart', input: { units: ['steady'], wait: false } }
      if (count % 4 !== 3) await askControl(watched.file('control.sock'), 'order', asked, 30_000)
      for (let one = 0; one < 50; one++) {
        const answer = await askThrough(port)
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
      }
      pid = await runningAs(watched, 'steady', pid)
    }
    expect([...answers.entries()]).toEqual([['true,1,steady', 1000]])
  })

  it('waits while another one has its address, follows a reload, and refuses when it is down', async ({
    shared: watched,
  }) => {
    const [one, two, three] = [await freePort(), await freePort(), await freePort()]
    const other = createServer((socket) => socket.end('other')).listen(one, '127.0.0.1')
    const program = { name: 'web', command: web, ready }
    const missing = { name: 'missing', command: ['no-such-program'], socket: three, autostart: false }
    await sharePrograms(watched, [{ ...program, socket: one }, missing])
    const blocked = await programWhen(watched, 'web', ({ state }) => state === 'blocked')
    expect(blocked.reason).toContain(`PID ${process.pid}`)
    other.close()
    const first = await runningAs(watched, 'web')
    expect(await askThrough(one)).toBe('true,1,web')

    // Another port, and one more; nobody listens on the first one any more.
    const sockets = [{ port: two }, { port: one, host: '127.0.0.2' }]
    writePrograms(watched, [{ ...program, socket: sockets }, missing])
    await order(watched, 'reload')
    const second = await runningAs(watched, 'web', first)
    expect(await askThrough(two)).toBe('true,2,web:web')
    expect(await askThrough(one)).toBe('ECONNREFUSED')

    await order(watched, 'stop', 'web')
    await until('nobody waits for what is down', async () => {
      return (await askThrough(two)) === 'ECONNREFUSED' || undefined
    })
    // The shell that passes the sockets on is not what could not be found.
    await order(watched, 'start', 'missing', '--no-wait')
    await watched.logLine(/missing could not be started: no-such-program was not found/)
    await order(watched, 'stop', 'missing')
    await order(watched, 'start', 'web')
    expect(await runningAs(watched, 'web')).not.toBe(second)
    expect(await askThrough(two)).toBe('true,2,web:web')
  })

  it('is not taken for ready by that port', async ({ watched }) => {
    const file = watched.file('configuration.json')
    const refused = (...programs: object[]) => {
      writeFileSync(file, JSON.stringify({ programs }))
      return refusalOf(file)
    }
    const program = { name: 'web', command: ['true'], socket: 8000 }
    const itself = /programs\[0\]\.ready\.port: the monitor listens on port 8000 itself/
    expect(await refused({ ...program, ready: { port: 8000 } })).toMatch(itself)
    expect((await watched.run('proxy-monitor', '--check', file)).stderr).toMatch(itself)
    expect(await refused(program, { ...program, name: 'api' })).toMatch(/port 8000, is taken already by/)
    expect(await refused({ ...program, socket: { port: 8000, host: 'localhost' } })).toMatch(/IP address/)
  })
})
