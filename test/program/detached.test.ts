import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { first, order } from '../support/ordered.ts'
import { processesWith } from '../support/process-table.ts'
import { programWhen, runningAs, script, sharePrograms, startPrograms } from '../support/programs.ts'
import { killIfThere, until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

/** A mark in the words of the processes of this file: others may have the same words. */
const own = `of test ${process.pid}`

const ownWith = (words: string): number[] => processesWith(words, own)

/** A program whose process ends at SIGUSR2 and leaves two others behind, which print and answer to SIGTERM. */
function leaver(mark: string, ...more: readonly string[]): string[] {
  const child = `setInterval(() => console.log("still here"), 200) // ${mark} child ${own}`
  return script(
    'process.on("SIGUSR2", () => process.exit(3))',
    'const { spawn } = require("node:child_process")',
    `for (const n of [1, 2]) spawn(process.execPath, ["-e", ${JSON.stringify(child)}], { stdio: "inherit" }).unref()`,
    ...more,
    `setInterval(() => {}, 1000) // ${mark} leader ${own}`,
  )
}

async function left(watched: Watched, mark: string, name: string): Promise<number[]> {
  const pid = await runningAs(watched, name)
  const children = await until('its children run', async () => {
    const found = ownWith(`${mark} child`).filter((one) => one !== pid)
    return found.length === 2 ? found : undefined
  })
  process.kill(pid, 'SIGUSR2')
  return children
}

describe('A program whose process ends and leaves others behind', { timeout: 120_000 }, () => {
  it('is detached: nothing is started beside them until somebody adopts or ends them', async ({
    shared: watched,
  }) => {
    await sharePrograms(watched, [{ name: 'web', command: leaver('waited'), onDetached: 'wait' }])
    const children = await left(watched, 'waited', 'web')
    const { reason, leftBehind } = await programWhen(watched, 'web', ({ state }) => state === 'detached')
    expect(leftBehind?.map(({ pid }) => pid).toSorted()).toEqual(children.toSorted())
    for (const pid of children) expect(reason).toContain(`PID ${pid} (`)
    // How its process has ended is known, although others hold its output open.
    await watched.logLine(/web is not running: PID \d+ ended with exit code 3/)

    const started = first(await order(watched, 'start', 'web'))
    expect(started).toMatchObject({
      error: { code: 'detached', next: expect.stringContaining('proxy-ctl end web') },
      state: { phase: 'detached', leftBehind: [{}, {}] },
    })
    const page = await watched.run('proxy-status', 'web')
    expect(page.stdout).toMatch(/detached/)
    expect(page.stdout).toMatch(/next: .*proxy-ctl(?:\.cjs)? adopt web/)
    const why = await watched.run('proxy-log', '--why', 'web')
    expect(why.stdout).toContain('waited for an order to adopt or to end them')

    // Those that are left are the program: they are measured, watched, and stopped together.
    expect(first(await order(watched, 'adopt', 'web'))).toMatchObject({
      outcome: 'done',
      state: { phase: 'running' },
    })
    const head = await runningAs(watched, 'web')
    expect(children).toContain(head)
    const { answer } = await order(watched, 'processes', 'web')
    expect(JSON.stringify(answer)).toContain(`"pid":${children.find((pid) => pid !== head)}`)
    expect(first(await order(watched, 'adopt', 'web'))).toMatchObject({ error: { code: 'not-detached' } })
    process.kill(head, 'SIGKILL')
    await programWhen(watched, 'web', ({ state }) => state === 'detached')
    expect(first(await order(watched, 'end', 'web'))).toMatchObject({ outcome: 'done' })
    const again = await runningAs(watched, 'web')
    expect(children).not.toContain(again)
    expect(ownWith('waited child').filter((pid) => children.includes(pid))).toEqual([])

    expect(first(await order(watched, 'stop', 'web'))).toMatchObject({ outcome: 'done' })
    expect(ownWith('waited ')).toEqual([])
  })

  it('is started again when they end by themselves, and ended with them when the monitor ends', async ({
    watched,
  }) => {
    const monitor = await startPrograms(watched, [
      { name: 'web', command: leaver('alone'), onDetached: 'wait' },
    ])
    const children = await left(watched, 'alone', 'web')
    await programWhen(watched, 'web', ({ state }) => state === 'detached')
    for (const pid of children) process.kill(pid, 'SIGKILL')
    await runningAs(watched, 'web')
    await left(watched, 'alone', 'web')
    await programWhen(watched, 'web', ({ state }) => state === 'detached')
    await monitor.stop('SIGTERM')
    expect(ownWith('alone ')).toEqual([])
  })

  it('is ended and started again where nobody has said otherwise, or goes on as them', async ({
    shared: watched,
  }) => {
    await sharePrograms(watched, [
      { name: 'usual', command: leaver('usual') },
      { name: 'taken', command: leaver('taken'), onDetached: 'adopt' },
    ])
    const ended = await left(watched, 'usual', 'usual')
    await watched.logLine(/has left behind PID \d+ .*: ended first/)
    await runningAs(watched, 'usual')
    expect(ownWith('usual child').filter((pid) => ended.includes(pid))).toEqual([])

    const children = await left(watched, 'taken', 'taken')
    await watched.logLine(/taken is PID .* from now on/)
    const head = await programWhen(
      watched,
      'taken',
      ({ state, pid }) => state === 'healthy' && children.includes(pid ?? 0),
    )
    expect(ownWith('taken leader')).toEqual([])
    // One of them alone is the program, too; what they print is read.
    process.kill(head.pid ?? 0, 'SIGKILL')
    const other = children.find((pid) => pid !== head.pid)
    await programWhen(watched, 'taken', ({ state, pid }) => state === 'healthy' && pid === other)
    const lines = () => readFileSync(watched.file('program_taken.log'), 'utf8').split('still here').length
    const before = lines()
    await until('it prints on', async () => (lines() > before ? true : undefined))
  })

  it('and is kept: the next monitor finds it detached, and reads what they print', async ({ watched }) => {
    const programs = [{ name: 'web', command: leaver('kept'), onDetached: 'wait', keep: true }]
    const monitor = await startPrograms(watched, programs)
    const children = await left(watched, 'kept', 'web')
    await programWhen(watched, 'web', ({ state }) => state === 'detached')
    await monitor.stop('SIGKILL')
    await startPrograms(watched, programs)
    await programWhen(watched, 'web', ({ state }) => state === 'detached')
    expect(first(await order(watched, 'adopt', 'web'))).toMatchObject({ outcome: 'done' })
    const head = await runningAs(watched, 'web')
    expect(children).toContain(head)
    const lines = () => readFileSync(watched.file('program_web.log'), 'utf8').split('still here').length
    const before = lines()
    await until('it is read', async () => (lines() > before ? true : undefined))
    expect(first(await order(watched, 'stop', 'web'))).toMatchObject({ outcome: 'done' })
    expect(ownWith('kept ')).toEqual([])
  })

  it('of which one has gone off into a session of its own is told, and that one is left alone', async ({
    watched,
  }) => {
    const child = 'setTimeout(() => {}, 60000) // gone off'
    const away = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(child)}], { detached: true, stdio: "ignore" }).unref()`
    await startPrograms(
      watched,
      [
        {
          name: 'daemon',
          command: script(away, 'setTimeout(() => process.exit(0), 300)'),
          // It ends before, however slowly it begins.
          ready: { log: 'never' },
        },
        {
          name: 'browser',
          command: script(away, 'setTimeout(() => process.exit(1), 2500)'),
          autostart: false,
        },
      ],
      { restart: { backoff: '1m' } },
    )
    try {
      await watched.logLine(
        /daemon could not be started: .*; PID \d+ began a session of its own, so the monitor leaves it alone/,
      )
      const [first] = processesWith('// gone off')
      await order(watched, 'start', 'browser')
      await runningAs(watched, 'browser')
      const second = await until('the second one is told', async () => {
        const log = readFileSync(watched.file('program_browser.log'), 'utf8')
        return /PID (\d+) \(.*\) began a session of its own, so the monitor leaves it alone/.exec(log)?.[1]
      })
      expect(Number(second)).not.toBe(first)
      expect(processesWith('// gone off')).toEqual(expect.arrayContaining([first, Number(second)]))
    } finally {
      await watched.run('proxy-ctl', 'stop-monitor')
      for (const pid of processesWith('// gone off')) killIfThere(pid)
    }
  })
})
