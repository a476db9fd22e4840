import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, it } from 'vitest'
import { layBadWire, successful } from '../support/bad-wire.ts'
import type { Exchanged } from '../support/exact-bytes.ts'
import { whyNoLab } from '../support/namespaces.ts'
import { skipFor, until } from '../support/tools.ts'
import {
  ask,
  damaged,
  inLab,
  peer,
  reached,
  type Streamed,
  startForwarder,
  told,
} from '../support/wire-room.ts'

const skip = skipFor(whyNoLab())
const sound = { loss: 0, delay: 2, jitter: 0 }
/** After so many retransmissions a kernel gives a silent peer up: 2 to 4 s here instead of its quarter of an hour. */
const impatient = ['sysctl', '-qw', 'net.ipv4.tcp_retries2=4']

describe('a bad wire', { skip }, () => {
  it('that loses, delays and reorders on both sides of the forwarder: every byte arrives, both ways at once', () =>
    inLab(async (lab) => {
      const wire = await layBadWire(lab, { loss: 0.03, delay: 5, jitter: 4 })
      await startForwarder(lab, 6274, wire.visitor, '7000', '--target-check', '0')
      const visitor = peer(lab.visitor, 'exchange', wire.host, 6274, wire.visitor, 7000, 8)
      const exchanged = await told<readonly Exchanged[]>(visitor)
      assert.equal(exchanged.length, 8)
      assert.deepEqual(damaged(exchanged), [])
      const { passed, lost, overtaken } = await wire.end()
      assert.ok(passed > 1000 && lost > 20 && overtaken > 100, JSON.stringify({ passed, lost, overtaken }))
    }))

  it('cut in mid-stream and mended: the client waits, and its stream goes on without a byte amiss', () =>
    inLab(async (lab) => {
      const wire = await layBadWire(lab, sound)
      await peer(lab.host, 'echo', '127.0.0.1', 7000).line(/listening/)
      const { health } = await startForwarder(lab, 6274, '127.0.0.1', '7000')
      const client = peer(lab.visitor, 'stream', wire.host, 6274, 2200)
      await client.line(/moving/)
      await wire.cut()
      await new Promise((resolve) => setTimeout(resolve, 1000))
      assert.equal((await health()).connections.open, 1)
      await wire.mend()
      const { end, isExact, length, received } = await told<Streamed>(client)
      assert.deepEqual({ end, isExact, received }, { end: 'FIN', isExact: true, received: length })
      assert.ok((await wire.end()).cut > 0)
    }))

  it("whose interface goes down on the forwarder's side and comes back: the same", () =>
    inLab(async (lab) => {
      const wire = await layBadWire(lab, sound)
      await peer(lab.host, 'echo', '127.0.0.1', 7000).line(/listening/)
      const { health } = await startForwarder(lab, 6274, '127.0.0.1', '7000')
      const client = peer(lab.visitor, 'stream', wire.host, 6274, 2200)
      await client.line(/moving/)
      await successful(lab.host.run(['ip', 'link', 'set', wire.device, 'down']))
      await new Promise((resolve) => setTimeout(resolve, 1000))
      assert.equal((await health()).connections.open, 1)
      await successful(lab.host.run(['ip', 'link', 'set', wire.device, 'up']))
      const { end, isExact } = await told<Streamed>(client)
      assert.deepEqual({ end, isExact }, { end: 'FIN', isExact: true })
    }))

  it('cut for ever while the client is being sent to: the target learns of it by a reset, and nothing is kept', () =>
    inLab(async (lab) => {
      await successful(lab.host.run(impatient))
      const wire = await layBadWire(lab, sound)
      const target = peer(lab.host, 'source', '127.0.0.1', 7000)
      await target.line(/listening/)
      const { health, program } = await startForwarder(lab, 6274, '127.0.0.1', '7000')
      await peer(lab.visitor, 'reader', wire.host, 6274).line(/moving/)
      const before = openFiles(program.pid)
      await wire.cut()
      await target.line(/connection ended with ECONNRESET/, 60_000)
      const record = await program.line(/"code":"CD"/)
      assert.match(record, /the client failed|did not answer|ETIMEDOUT/)
      assert.equal((await health()).connections.open, 0)
      await until('its descriptors are given back', async () =>
        openFiles(program.pid) <= before - 2 ? true : undefined,
      )
    }))

  it('cut while a client dies, then mended: its return ends the connection', () =>
    inLab(async (lab) => {
      const wire = await layBadWire(lab, sound)
      const target = peer(lab.host, 'source', '127.0.0.1', 7000)
      await target.line(/listening/)
      const { health, program } = await startForwarder(lab, 6274, '127.0.0.1', '7000', '--target-check', '0')
      const client = peer(lab.visitor, 'reader', wire.host, 6274)
      await client.line(/moving/)
      await wire.cut()
      await client.stop('SIGKILL')
      assert.equal((await health()).connections.open, 1)
      await wire.mend()
      // Killed with all read it ends with a FIN, and with a RST only once it is sent more.
      await target.line(/connection ended with (ECONNRESET|EPIPE)/, 60_000)
      await program.line(/"code":"CD"/)
      assert.equal((await health()).connections.open, 0)
    }))

  it('cut under a silent stream: keep-alive is armed on both sides, to find out without a byte to send', () =>
    inLab(async (lab) => {
      const wire = await layBadWire(lab, sound)
      await peer(lab.visitor, 'echo', wire.visitor, 7000).line(/listening/)
      const { program } = await startForwarder(lab, 6274, wire.visitor, '7000', '--target-check', '0')
      const client = peer(lab.visitor, 'steady', wire.host, 6274)
      await client.line(/answer 1/)
      process.kill(client.pid, 'SIGSTOP')
      const look = async () => {
        const { stdout } = await lab.host.run(['ss', '-Htnpo', 'state', 'established'])
        const own = stdout.split('\n').filter((line) => line.includes(`pid=${program.pid},`))
        return own.filter((line) => line.includes('timer:(keepalive,')).length === 2 ? true : undefined
      }
      // A look goes through the descriptors of every process of this machine.
      await until('both sockets wait for a sign of life', look, 20_000, 500)
      process.kill(client.pid, 'SIGCONT')
    }))

  it('cut when a client comes for a target behind it: the client is reset at the connect timeout, and the next one after is served', () =>
    inLab(async (lab) => {
      const wire = await layBadWire(lab, sound)
      await peer(lab.visitor, 'echo', wire.visitor, 7000).line(/listening/)
      const { health } = await startForwarder(
        lab,
        6274,
        wire.visitor,
        '7000',
        '--connect-timeout',
        '1s',
        '--target-check',
        '0',
      )
      assert.equal(await ask(lab.host, '127.0.0.1', 6274), 'hello')
      await wire.cut()
      assert.equal(await ask(lab.host, '127.0.0.1', 6274), 'ECONNRESET')
      const { connections, target } = await health()
      assert.equal(connections.refused['target-timeout'], 1)
      assert.equal(connections.open, 0)
      assert.equal(target.state, 'unreachable')
      await wire.mend()
      await reached(lab.host, '127.0.0.1', 6274)
    }))
})

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
