import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { whyNoUserManager } from '../../scripts/lib/systemd-user.ts'
import { LongStream } from '../support/exact-clients.ts'
import { checkout, freePort, skipFor, until } from '../support/tools.ts'
import { type UserManager, withUserManager } from '../support/user-manager.ts'
import { askThrough, echoServer } from '../support/watched.ts'

const why = whyNoUserManager()
const skip = skipFor(why && `systemd's user manager cannot run here: ${why}`)
const unit = 'proxy-monitor.service'

interface Service {
  readonly manager: UserManager
  readonly port: number
  readonly forwarder: () => Promise<number>
  readonly monitor: (before?: number) => Promise<number>
  readonly configure: (more: object) => void
  readonly logLine: (pattern: RegExp) => Promise<boolean>
}

/** The user's unit as the installer puts it in place, not yet started, with one forward to an echo. */
function withService(use: (service: Service) => Promise<void>): Promise<void> {
  return withUserManager(async (manager) => {
    const echo = await echoServer()
    const port = await freePort()
    const file = join(manager.home, 'c.json')
    const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]
    const configure = (more: object) =>
      writeFileSync(file, JSON.stringify({ interval: '1s', forwards, ...more }))
    configure({})
    try {
      const words = ['--user', '--no-start', '--config', file]
      const { code, stdout, stderr } = await manager.run(
        join(checkout, 'scripts', 'install-systemd'),
        ...words,
      )
      assert.equal(code, 0, `${stdout}${stderr}`)
      await use({
        manager,
        port,
        configure,
        forwarder: () => manager.pid(unit, 'tcp-proxy.cjs'),
        monitor: (before) => manager.pid(unit, 'proxy-monitor.cjs', before),
        logLine: (pattern) =>
          until(`a line like ${pattern}`, async () => {
            const log = manager.record('proxy_monitor.log')
            if (pattern.test(log)) return true
            throw new Error(log)
          }),
      })
    } finally {
      await echo.close()
    }
  })
}

/** Changes a unit as its owner does. */
async function dropIn(manager: UserManager, text: string): Promise<void> {
  manager.write(`${unit}.d/test.conf`, `[Service]\n${text}\n`)
  await manager.order('daemon-reload')
}

describe('The monitor as a service of the real systemd', { skip }, () => {
  it('is active when it says READY, and not before', () =>
    withService(async ({ manager, port }) => {
      // Without systemd-notify it watches all the same, and has no way to say so.
      await dropIn(manager, `Environment=PATH=${manager.home}\nTimeoutStartSec=60`)
      const silent = manager.ctl('start', unit)
      silent.catch(() => {})
      assert.equal(
        await until('its forward', async () => ((await askThrough(port)) === 'hello' ? 'up' : undefined)),
        'up',
      )
      assert.equal((await manager.show(unit, 'ActiveState')).ActiveState, 'activating')
      await manager.order('stop', unit)
      assert.equal((await silent).code, 1)
      await dropIn(manager, '')
      await manager.order('start', unit)
      const { ActiveState, StatusText } = await manager.show(unit, 'ActiveState', 'StatusText')
      assert.deepEqual([ActiveState, StatusText], ['active', '1 of 1 forwards running'])
    }))

  it('is killed and started again when it hangs, and goes on as long as it pings', () =>
    withService(async ({ manager, forwarder, monitor }) => {
      await dropIn(manager, 'WatchdogSec=4')
      await manager.order('start', unit)
      const [hanging, serving] = [await monitor(), await forwarder()]
      // Longer than the watchdog waits.
      await new Promise((resolve) => setTimeout(resolve, 5000))
      assert.deepEqual(await manager.show(unit, 'NRestarts'), { NRestarts: '0' })
      process.kill(hanging, 'SIGSTOP')
      assert.notEqual(await monitor(hanging), hanging)
      await manager.showWhen(unit, { ActiveState: 'active', NRestarts: '1' })
      assert.equal(await forwarder(), serving, 'the forwarder has nothing to do with it')
    }))

  it('leaves its forwarders alone when it is restarted, reloaded and stopped', () =>
    withService(async ({ manager, port, forwarder, monitor, configure, logLine }) => {
      await manager.order('start', unit)
      const [first, serving] = [await monitor(), await forwarder()]
      await logLine(/started successfully/)
      const stream = await LongStream.open(port)
      await stream.exchange(10_000)
      await manager.order('restart', unit)
      assert.notEqual(await monitor(first), first)
      assert.equal(await forwarder(), serving)
      await stream.exchange(10_000)

      configure({ interval: '2s' })
      await manager.order('reload', unit)
      await logLine(/Configuration changed: another interval/)
      await stream.exchange(10_000)

      await manager.order('stop', unit)
      assert.deepEqual(manager.pids(unit, 'proxy-monitor.cjs'), [])
      assert.equal(await forwarder(), serving)
      await stream.exchange(10_000)
      await stream.close()
    }))

  it('ends its forwarders, too, when it is told to by --stop-forwards', () =>
    withService(async ({ manager, port, forwarder }) => {
      const { ExecStart = '' } = await manager.show(unit, 'ExecStart')
      const command = /argv\[\]=(.*?) ;/.exec(ExecStart)?.[1]
      await dropIn(manager, `ExecStart=\nExecStart=${command} --stop-forwards`)
      await manager.order('start', unit)
      await forwarder()
      await manager.order('stop', unit)
      assert.deepEqual(manager.pids(unit, 'tcp-proxy.cjs'), [])
      assert.equal(await askThrough(port), 'ECONNREFUSED')
    }))

  it('is not tried again with a configuration that cannot be right', () =>
    withService(async ({ manager, configure }) => {
      configure({ forwards: 'none' })
      assert.equal((await manager.ctl('start', unit)).code, 1)
      const { ActiveState, ExecMainStatus, NRestarts } = await manager.show(
        unit,
        'ActiveState',
        'ExecMainStatus',
        'NRestarts',
      )
      assert.deepEqual([ActiveState, ExecMainStatus, NRestarts], ['failed', '78', '0'])
    }))
})
