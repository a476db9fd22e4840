import { existsSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { first, giveTo, order, typed } from '../support/ordered.ts'
import {
  programWhen,
  refusalOf,
  runningAs,
  script,
  server,
  sharePrograms,
  startPrograms,
} from '../support/programs.ts'
import { freePort } from '../support/tools.ts'

const idle = 'setInterval(() => {}, 1000)'

describe('A program that depends on others', { timeout: 120_000 }, () => {
  it('waits until they are ready, or have done their work', async ({ shared: watched }) => {
    const port = await freePort()
    const go = JSON.stringify(watched.file('go'))
    const migrate = script(
      `setInterval(() => { if (require('node:fs').existsSync(${go})) process.exit(0) }, 20)`,
    )
    await sharePrograms(watched, [
      { name: 'web', command: script(idle), dependsOn: ['migrate', 'db'] },
      { name: 'migrate', command: migrate, oneshot: true, dependsOn: ['db'] },
      { name: 'db', command: server(port), ready: { port } },
    ])
    await runningAs(watched, 'db')
    await watched.logLine(/web waits for migrate and db/)
    const waiting = await programWhen(watched, 'web', ({ reason }) => reason === 'waits for migrate')
    expect(waiting.state).toBe('starting')
    writeFileSync(watched.file('go'), '')
    await runningAs(watched, 'web')
    await watched.logLine(/migrate has done its work/)
    const done = await programWhen(watched, 'migrate', ({ state }) => state === 'down')
    expect(done.reason).toBe('it runs once, and has done its work')
    expect(first(await order(watched, 'start', 'migrate'))).toMatchObject({ outcome: 'done' })
  })

  it('waits at every restart, and two orders at once start it once', async ({ watched }) => {
    const port = await freePort()
    const monitor = await startPrograms(watched, [
      { name: 'db', command: server(port), ready: { port } },
      { name: 'web', command: script(idle), dependsOn: ['db'] },
    ])
    const pid = await runningAs(watched, 'web')
    await order(watched, 'stop', 'db')
    process.kill(pid, 'SIGKILL')
    await programWhen(watched, 'web', ({ reason }) => reason === 'waits for db')
    // On the socket: of two commands, one may come when the other has been obeyed.
    const both = { units: ['web', 'db'] }
    const answers = await Promise.all([giveTo(watched, 'start', both), giveTo(watched, 'restart', both)])
    expect(answers.flat().map(({ error }) => error)).toEqual([null, null, null, null])
    const again = await runningAs(watched, 'web', pid)
    const starts = watched.log().match(/web started successfully/g)
    expect(starts).toHaveLength(2)
    expect(existsSync(`/proc/${again}`)).toBe(true)
    await monitor.stop('SIGTERM')
    // It ends before what it depends on.
    expect(watched.log()).toMatch(/web was ended[\s\S]*db was ended/)
  })

  it('that somebody has stopped is not waited for until the time is over', async ({ shared: watched }) => {
    await sharePrograms(watched, [
      { name: 'base', command: script(idle) },
      { name: 'lazy', command: script(idle), autostart: false },
      { name: 'site', command: script(idle), dependsOn: ['base'] },
      { name: 'late', command: script(idle), dependsOn: ['lazy'] },
    ])
    await runningAs(watched, 'site')
    await order(watched, 'stop', 'site', 'base')
    const refused = first(await typed(watched, 'start', 'site'))
    expect(refused.error).toMatchObject({
      code: 'dependency-stopped',
      message: 'site waits for base, which was stopped by an order',
      next: expect.stringMatching(/^proxy-ctl start base --state-dir /),
      nextOrder: { order: 'start', units: ['base'] },
    })
    const waited = first(await order(watched, 'wait', 'late'))
    expect(waited.error).toMatchObject({ message: 'late waits for lazy, which is not started' })
    expect(first(await order(watched, 'start', 'site', 'base'))).toMatchObject({ outcome: 'done' })
  })

  it('on nobody, or in a circle, is refused', async ({ watched }) => {
    const written = (...programs: object[]) => {
      const file = watched.file('programs.json')
      writeFileSync(file, JSON.stringify({ programs }))
      return file
    }
    const nobody = written({ name: 'a', command: ['true'], dependsOn: ['x'] })
    expect((await watched.run('proxy-monitor', '--check', nobody)).stderr).toMatch(
      /programs\[0\].dependsOn\[0\]: there is no forward or program "x"/,
    )
    const one = { name: 'a', command: ['true'], dependsOn: ['b'] }
    const circle = written(one, { name: 'b', command: ['true'], dependsOn: ['a'] })
    expect(await refusalOf(circle)).toMatch(/programs\[0\].dependsOn: this leads in a circle: a -> b -> a/)
  })
})
