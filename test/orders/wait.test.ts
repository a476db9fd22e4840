import { createServer } from 'node:net'
import { describe, expect } from 'vitest'
import type { ProcessesOutput, SystemStats } from '../../src/orders/process-orders.ts'
import type { Waited } from '../../src/orders/wait-order.ts'
import { it } from '../support/fixtures.ts'
import { healthyAs, startMonitor } from '../support/monitored.ts'
import { order } from '../support/ordered.ts'
import { freePort } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

describe('The order wait', () => {
  it('tells what is so, what does not come, and what was in the log', async ({ watched }) => {
    const echo = await echoServer()
    const [web, late, taken] = [await freePort(), await freePort(), await freePort()]
    const holder = createServer().listen(taken, '127.0.0.1')
    await startMonitor(watched, {
      forwards: [
        { name: 'web', listen: web, target: `localhost:${echo.port}` },
        { name: 'late', listen: late, target: `localhost:${await freePort()}` },
        { name: 'taken', listen: taken, target: `localhost:${echo.port}`, bind: '127.0.0.1' },
      ],
    })
    await healthyAs(watched, web)
    const wait = async (...words: string[]) => {
      const { code, answer } = await order(watched, 'wait', ...words)
      if ('error' in answer) return { code, error: answer.error }
      const [waited] = (answer.output as { readonly units: readonly Waited[] }).units
      return { code, ...waited }
    }
    expect(await wait('web', '--for', 'healthy')).toMatchObject({ code: 0, outcome: 'already', lines: [] })
    expect(await wait('late', '--for', 'healthy', '--timeout', '300ms')).toMatchObject({
      code: 124,
      outcome: 'failed',
      error: {
        code: 'timed-out',
        message: expect.stringMatching(/^late is not healthy yet: it runs, and localhost/),
      },
      lines: expect.arrayContaining([
        expect.objectContaining({ level: 'info', message: expect.stringContaining('Listening') }),
      ]),
    })
    expect(await wait('taken')).toMatchObject({ code: 1, outcome: 'failed', error: { code: 'blocked' } })
    // Whether the wait or the stop comes first: it has exited.
    const [exited] = await Promise.all([wait('web', '--for', 'exited'), order(watched, 'stop', 'web')])
    expect(exited).toMatchObject({ code: 0 })
    expect(await wait('web')).toMatchObject({
      code: 1,
      error: { code: 'stopped', next: expect.stringMatching(/^proxy-ctl start web --state-dir /) },
    })
    expect(await wait('nobody')).toMatchObject({
      code: 64,
      error: { code: 'unknown-unit', next: 'name one of web, late, taken' },
    })
    holder.close()
    await echo.close()
  })
})

describe('The orders processes and system-stats', () => {
  it('tell what runs, and what it uses', async ({ watched }) => {
    const port = await freePort()
    await startMonitor(watched, { forwards: [{ name: 'web', listen: port, target: 'localhost:1' }] })
    await order(watched, 'wait', 'web')
    const processes = (await order(watched, 'processes')).answer as { readonly output: ProcessesOutput }
    expect(processes.output.units).toMatchObject([
      {
        name: 'web',
        processes: [{ command: expect.stringContaining('tcp-proxy'), threads: expect.any(Number) }],
      },
    ])
    const stats = (await order(watched, 'system-stats', 'web')).answer as { readonly output: SystemStats }
    const [web] = stats.output.units
    expect(web).toMatchObject({ name: 'web', state: 'waiting', children: 0, restarts: 0 })
    expect(web?.memoryBytes).toBeGreaterThan(1_000_000)
    expect(web?.descriptors).toBeGreaterThan(5)
    expect(stats.output.host).toMatchObject({ cores: expect.any(Number), disk: expect.anything() })
    const text = await watched.run('proxy-ctl', 'system-stats')
    expect(text.stdout).toMatch(
      /^web +waiting +\d+ .*\nmonitor: PID \d+, [\d.]+ MiB, for .*\nhost: load .* cores;/m,
    )
    expect((await watched.run('proxy-ctl', 'processes')).stdout).toMatch(/^web +\d+ +\d+ +\w .*tcp-proxy/m)
  })
})
