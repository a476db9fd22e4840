import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { whyNoUserManager } from '../../scripts/lib/systemd-user.ts'
import { askControl } from '../../src/control/client.ts'
import { errorCode } from '../../src/os/failure.ts'
import type { ForwarderHealth } from '../../src/record/shapes/forwarder-health.ts'
import { someBytes } from '../support/some-bytes.ts'
import { checkout, freePort, skipFor, until } from '../support/tools.ts'
import { type UserManager, withUserManager } from '../support/user-manager.ts'
import { askThrough, echoServer } from '../support/watched.ts'

const why = whyNoUserManager()
const skip = skipFor(why && `systemd's user manager cannot run here: ${why}`)
const installer = join(checkout, 'scripts', 'install-systemd')
const kills = 16

interface Post {
  readonly manager: UserManager
  readonly port: number
  readonly service: string
  readonly socket: string
  /** Waits until the forwarder is a process that is not `before`, and serves. */
  served(before?: number): Promise<number>
  health(): Promise<ForwarderHealth>
  monitorLog(pattern: RegExp): Promise<boolean>
}

/** One port, held by systemd, with its forwarder and the monitor, put in place by the installer; the target echoes. */
function withPost(use: (post: Post) => Promise<void>): Promise<void> {
  return withUserManager(async (manager) => {
    const echo = await echoServer()
    const port = await freePort()
    const configuration = join(manager.home, 'c.json')
    const forwards = [{ name: 'held', listen: port, target: `localhost:${echo.port}` }]
    writeFileSync(configuration, JSON.stringify({ interval: '1s', forwards }))
    try {
      const words = ['--user', '--config', configuration, '--sockets', `${port}=localhost:${echo.port}`]
      const { code, stdout, stderr } = await manager.run(installer, ...words)
      assert.equal(code, 0, `${stdout}${stderr}`)
      const service = `port-watchdog-forward@${port}.service`
      const log = () => manager.record('proxy_monitor.log')
      await use({
        manager,
        port,
        service,
        socket: `port-watchdog-forward@${port}.socket`,
        served: async (before) => {
          const pid = await manager.pid(service, 'tcp-proxy.cjs', before)
          assert.equal(await askThrough(port), 'hello')
          return pid
        },
        health: async () => {
          const socket = join(manager.stateDirectory, `tcp_proxy_${port}.sock`)
          return (await askControl(socket, 'health')) as ForwarderHealth
        },
        monitorLog: (pattern) =>
          until(`a line like ${pattern}`, async () => {
            if (pattern.test(log())) return true
            throw new Error(log())
          }),
      })
      const { code: removed, stderr: said } = await manager.run(installer, '--user', '--remove')
      assert.equal(removed, 0, said)
      assert.equal(await askThrough(port), 'ECONNREFUSED', 'nobody holds the port any more')
    } finally {
      await echo.close()
    }
  })
}

/** What came of a connection. `cut`: accepted and then ended before all was there, as when a process is killed. */
type Outcome = 'exact' | 'refused' | 'cut' | 'wrong'

/** Clients that never stop connecting, each with an exchange of random bytes. */
class Clients {
  readonly counts: Record<Outcome, number> = { exact: 0, refused: 0, cut: 0, wrong: 0 }
  readonly #running: Promise<unknown>
  #stopped = false
  #waiting: (() => void)[] = []

  constructor(port: number, count: number) {
    const run = async () => {
      while (!this.#stopped) {
        this.counts[await exchange(port)]++
        for (const resolve of this.#waiting.splice(0)) resolve()
        // Without a rest they leave no processor time to the programs under test.
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    }
    this.#running = Promise.all(Array.from({ length: count }, run))
  }

  /** Resolves when one more connection has ended. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }
}

function exchange(port: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const sent = someBytes(1 + Math.floor(Math.random() * 10_000))
    const chunks: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', autoSelectFamily: false, allowHalfOpen: true })
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', (error) => resolve(errorCode(error) === 'ECONNREFUSED' ? 'refused' : 'cut'))
    socket.on('end', () => {
      const received = Buffer.concat(chunks)
      if (!received.equals(sent.subarray(0, received.length))) return resolve('wrong')
      resolve(received.length === sent.length ? 'exact' : 'cut')
    })
    socket.end(sent)
  })
}

/** A process's PID in its innermost namespace, which is where systemd sees it. */
function innerPid(pid: number): string | undefined {
  return /^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
}

/** One that is cut in the instant of a kill is tried again. */
async function wholeExchange(port: number): Promise<void> {
  let outcome: Outcome
  do outcome = await exchange(port)
  while (outcome !== 'exact')
}

describe('A port that systemd holds', { skip }, () => {
  it(`refuses not one connect while forwarder and monitor are killed ${kills} times`, () =>
    withPost(async ({ manager, port, service, served }) => {
      let pid = await served()
      const clients = new Clients(port, 4)
      const gaps: number[] = []
      let monitors = 0
      try {
        for (let count = 0; count < kills; count++) {
          const [monitor] = manager.pids('proxy-monitor.service', 'proxy-monitor.cjs')
          if (monitor !== undefined) {
            monitors++
            process.kill(monitor, 'SIGKILL')
          }
          process.kill(pid, 'SIGKILL')
          const killedAt = performance.now()
          await wholeExchange(port)
          gaps.push(performance.now() - killedAt)
          pid = await manager.pid(service, 'tcp-proxy.cjs', pid)
          await clients.next()
        }
      } finally {
        await clients.stop()
      }
      const { exact, refused, cut, wrong } = clients.counts
      gaps.sort((a, b) => a - b)
      const median = Math.round(gaps[kills / 2] ?? 0)
      console.log(
        `${kills} kills of the forwarder and ${monitors} of the monitor: ${exact} exchanges exact, ${refused} refused, ` +
          `${cut} cut by a kill, killed to served ${median} ms (median), ${Math.round(gaps.at(-1) ?? 0)} ms (most)`,
      )
      assert.equal(refused, 0)
      assert.equal(wrong, 0)
      assert.ok(exact > kills)
      assert.equal(manager.pids(service, 'tcp-proxy.cjs').length, 1)
      await manager.showWhen('proxy-monitor.service', { ActiveState: 'active' })
      assert.deepEqual(manager.pids('proxy-monitor.service', 'tcp-proxy.cjs'), [], 'the monitor started none')
    }))

  it('is watched by the monitor, which leaves starting to systemd', () =>
    withPost(async ({ manager, port, service, socket, served, health, monitorLog }) => {
      const first = await served()
      const { supervisor, listen } = await health()
      assert.equal(supervisor, 'systemd')
      assert.deepEqual(listen.addresses, [{ address: '0.0.0.0', port, origin: 'activation' }])
      await monitorLog(/already running \(PID: \d+\), adopted/)

      // One that hangs is ended by the monitor and started by systemd.
      process.kill(first, 'SIGSTOP')
      const second = await served(first)
      await monitorLog(/is stopped \(SIGSTOP\)[\s\S]*is run by systemd, which starts it again[\s\S]*adopted/)

      // A forwarder that systemd does not bring back is not replaced while systemd holds the port: the next connect brings it.
      await manager.order('stop', service)
      await monitorLog(/which starts it again[\s\S]*which starts it again/)
      assert.equal(await askThrough(port), 'hello')
      assert.notEqual(await served(), second)
      assert.deepEqual(manager.pids('proxy-monitor.service', 'tcp-proxy.cjs'), [])
      await manager.showWhen(socket, { ActiveState: 'active' })
    }))

  it('is handed over by reload: systemd follows the new process, and open connections go on', () =>
    withPost(async ({ manager, port, service, served, health }) => {
      const first = await served()
      const open = connect({ port, host: '127.0.0.1' })
      await once(open, 'connect')
      const clients = new Clients(port, 2)
      let successor = first
      try {
        await clients.next()
        await manager.order('reload', service)
        const replacement = async () => {
          const { MainPID } = await manager.show(service, 'MainPID')
          const pid = manager.pids(service, 'tcp-proxy.cjs').find((one) => innerPid(one) === MainPID)
          return pid === first ? undefined : pid
        }
        successor = await until('the replacement alone to be the service', replacement, 20_000, 200)
        await clients.next()
        await clients.next()
      } finally {
        await clients.stop()
      }
      assert.deepEqual({ ...clients.counts, exact: 0 }, { exact: 0, refused: 0, cut: 0, wrong: 0 })
      assert.equal((await health()).supervisor, 'systemd')
      open.write('still here')
      assert.equal(String((await once(open, 'data'))[0]), 'still here')
      assert.deepEqual(new Set(manager.pids(service, 'tcp-proxy.cjs')), new Set([first, successor]))
      open.destroy()
      await until('the first to end', async () =>
        manager.pids(service, 'tcp-proxy.cjs').includes(first) ? undefined : true,
      )
      await manager.showWhen(service, { ActiveState: 'active', SubState: 'running', NRestarts: '0' })

      // It is systemd's as the first one was: started again when it is killed, and handed over again.
      process.kill(successor, 'SIGKILL')
      const third = await served(successor)
      process.kill(third, 'SIGUSR2')
      assert.notEqual(await served(third), third)
      await manager.showWhen(service, { ActiveState: 'active', NRestarts: '1' })
    }))

  it('is not handed over by a unit that cannot be told of it, which is said in a line', () =>
    withPost(async ({ manager, port, service, served }) => {
      await served()
      manager.write(`${service}.d/simple.conf`, '[Service]\nType=simple\nNotifyAccess=none\n')
      await manager.order('daemon-reload')
      await manager.order('restart', service)
      const pid = await served()
      process.kill(pid, 'SIGUSR2')
      await until('the word', async () =>
        /could not take over: systemd runs this forwarder .* use systemctl restart/.test(
          manager.record(`tcp_proxy_${port}.log`),
        )
          ? true
          : undefined,
      )
      assert.equal(await served(), pid)
    }))

  it('stays held while its forwarder cannot be started, which is tried without haste', () =>
    withPost(async ({ manager, port, service, socket, served }) => {
      await served()
      await manager.order('stop', 'proxy-monitor.service', service)
      const file = join(manager.home, '.config', 'port-watchdog-forward', `${port}.env`)
      const right = readFileSync(file, 'utf8')
      writeFileSync(file, `${right}OPTIONS=--idle-timeout soon\n`)
      const waiting = askThrough(port)
      await manager.showWhen(service, { ExecMainStatus: '64', SubState: 'stop-post' })
      await manager.showWhen(socket, { ActiveState: 'active' })
      writeFileSync(file, right)
      // It waited from the beginning, and is served by the first forwarder that can be started.
      assert.equal(await waiting, 'hello')
    }))
})
