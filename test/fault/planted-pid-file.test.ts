import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstatSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe } from 'vitest'
import { system } from '../../src/os/system.ts'
import { identityOf, judgeProcess } from '../../src/process/identity.ts'
import { it } from '../support/fixtures.ts'
import { Resident } from '../support/resident.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer, Watched } from '../support/watched.ts'

type Plant = (watched: Watched, file: string) => Promise<() => void | Promise<void>>

const plants: { readonly plant: Plant; unharmed: () => void | Promise<void> }[] = []
const ports: number[] = []
let shared: Watched
let echo: Awaited<ReturnType<typeof echoServer>>

/** Plants a PID file before the one monitor starts; whatever it is, the forward must come up and nobody else be hurt. */
function planted(name: string, plant: Plant): void {
  const index = plants.push({ plant, unharmed: () => assert.fail('nothing was planted') }) - 1
  it(name, async () => {
    const port = ports[index] ?? 0
    const report = await shared.statusWhen('all are healthy', ({ forwards }) =>
      ports.every((one) => forwards.some(({ port, state }) => port === one && state === 'healthy')),
    )
    assert.equal(report.exitCode, 0)
    assert.match(shared.log(), new RegExp(`Stale PID file of planted-${index} removed: `))
    assert.equal(shared.pid(port), report.forwards.find((one) => one.port === port)?.pid)
    assert.ok(lstatSync(shared.file(`tcp_proxy_${port}.pid`)).isFile())
    assert.equal(await askThrough(port), 'hello')
    assert.equal((await shared.forwarders()).length, plants.length)
    await plants[index]?.unharmed()
  })
}

/** A process that has nothing to do with forwards, and a check that it lives. */
function stranger(watched: Watched): { pid: number; lives: () => void } {
  const { pid } = watched.adopt(new Resident(['sleep', '600'], {}))
  const identity = identityOf(pid)
  assert.ok(identity)
  return { pid, lives: () => assert.equal(judgeProcess(identity), 'alive', 'the stranger must survive') }
}

async function deadPid(): Promise<number> {
  const child = spawn('true')
  const { pid } = child
  await once(child, 'exit')
  if (pid === undefined) throw new Error('true did not start')
  return pid
}

describe('A PID file is there that is not true', () => {
  beforeAll(async () => {
    shared = new Watched()
    echo = await echoServer()
    for (const one of plants) {
      const port = await freePort()
      ports.push(port)
      one.unharmed = await one.plant(shared, shared.file(`tcp_proxy_${port}.pid`))
    }
    const target = `localhost:${echo.port}`
    await shared.monitor(ports.map((listen, index) => ({ name: `planted-${index}`, listen, target })))
  })
  afterAll(async () => {
    await shared.remove()
    await echo.close()
  })

  planted('of a dead process', async (_watched, file) => {
    writeFileSync(file, `${await deadPid()}\n`)
    return () => {}
  })

  planted('of a live stranger, who survives', async (watched, file) => {
    const { pid, lives } = stranger(watched)
    writeFileSync(file, `${pid}\n`)
    return lives
  })

  planted('of a process whose PID was reused by a stranger, who survives', async (watched, file) => {
    const { pid, lives } = stranger(watched)
    const identity = identityOf(pid)
    writeFileSync(file, `${pid}\n${JSON.stringify({ ...identity, startTime: '1' })}\n`)
    return lives
  })

  planted('of a process of an earlier boot whose PID a stranger has now', async (watched, file) => {
    const { pid, lives } = stranger(watched)
    writeFileSync(file, `${pid}\n${JSON.stringify({ ...identityOf(pid), bootId: 'an earlier one' })}\n`)
    return lives
  })

  planted('with garbage in it', async (_watched, file) => {
    writeFileSync(file, Buffer.from([0, 255, 1, 254, 10, 13, 0]))
    return () => {}
  })

  planted('that is empty', async (_watched, file) => {
    writeFileSync(file, '')
    return () => {}
  })

  planted('with a negative PID, which kill(2) would take for a group', async (_watched, file) => {
    writeFileSync(file, '-1\n')
    return () => {}
  })

  planted('that is a symbolic link, whose target is left alone', async (watched, file) => {
    const precious = watched.file('precious')
    writeFileSync(precious, `${process.pid}\n`)
    symlinkSync(precious, file)
    return () => assert.equal(readFileSync(precious, 'utf8'), `${process.pid}\n`)
  })

  it('of a process that may be a forwarder: neither signalled nor joined by a second one', async ({
    watched,
  }) => {
    const port = await freePort()
    // Called like one of the old scripts, and without an identity to prove it.
    const old = watched.adopt(new Resident(['bash', '-c', 'exec -a tcp_proxy sleep 600'], {}))
    const isNamed = async () => system.commandLine(old.pid)?.includes('tcp_proxy') || undefined
    await until('the old script to have its name', isNamed)
    writeFileSync(watched.file(`tcp_proxy_${port}.pid`), `${old.pid}\n`)
    await watched.monitor([{ name: 'old', listen: port, target: 'localhost:1' }])
    await watched.logLine(/may be a forwarder, but its identity cannot be verified/)
    const report = await watched.status()
    assert.equal(report.forwards[0]?.state, 'unverifiable')
    assert.equal(report.exitCode, 150)
    assert.deepEqual(await watched.forwarders(), [])
    assert.ok(await isNamed(), 'it must survive')
  })
})
