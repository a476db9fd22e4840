// Clients on stdin and stdout, whose gateway is killed or replaced under them.
import { createServer } from 'node:net'
import { describe, expect } from 'vitest'
import { loadConnectors } from '../../src/config/load-connectors.ts'
import { Seat } from '../../src/gateway/seat.ts'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, configured, LineClient } from '../support/gateway.ts'
import { order } from '../support/ordered.ts'
import { runningAs, writePrograms } from '../support/programs.ts'
import { until } from '../support/tools.ts'

let asked = 0

async function pidOf(client: LineClient, name: string): Promise<string> {
  const { result, error } = await client.ask(`pid-${++asked}`, 'tools/call', { name })
  return result?.content?.[0]?.text ?? JSON.stringify(error)
}

const called = (id: string, name: string, args: object = {}) =>
  JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } })

/** A client has calls under way when its server has them: a later request of it is answered. */
async function passedOn(client: LineClient): Promise<void> {
  await client.ask(`passed-${++asked}`, 'ping')
}

describe('clients that share a gateway', { timeout: 120_000 }, () => {
  it('go on when it is killed: one of them becomes it, calls are repeated where that does no harm', async ({
    watched,
  }) => {
    const config = configured(watched, { one: child(), late: child('slow') })
    const words = ['--all', '--config', config]
    const host = new LineClient(watched, ...words)
    await host.initialize()
    const clients = [new LineClient(watched, ...words), new LineClient(watched, ...words)]
    const [second, third] = clients as [LineClient, LineClient]
    for (const client of clients) {
      await client.initialize('client', { elicitation: {} })
      expect(await pidOf(client, 'one__pid')).toBe(await pidOf(host, 'one__pid'))
    }
    await second.ask('followed', 'resources/subscribe', { uri: 'test://one' })
    const before = await pidOf(second, 'one__pid')
    third.send(called('question', 'one__ask'))
    const question = await third.heard('elicitation/create')
    second.send(called('read', 'late__echo', { n: 1 }))
    second.send(called('unsafe', 'one__slow', { ms: 60_000 }))
    await passedOn(second)
    second.lines.length = 0
    host.kill('SIGKILL')
    // Sent while there is no gateway, or to the one that is just dying.
    third.send(called('meanwhile', 'one__pid'))
    expect(await second.line('read')).toContain('\\"n\\":1')
    expect(await second.line('unsafe')).toContain('whether it had an effect is unknown')
    expect(await third.line('question')).toContain('whether it had an effect is unknown')
    // Nobody waits for the answer to what the one that is gone has asked.
    expect((await third.heard('notifications/cancelled')).params?.requestId).toBe(question.id)
    third.send(`{"jsonrpc":"2.0","id":${JSON.stringify(question.id)},"result":{"action":"cancel"}}`)
    const after = await pidOf(second, 'one__pid')
    expect(after).not.toBe(before)
    expect(await third.line('meanwhile')).toContain(after)
    // Its session is what it was, and it has heard nothing of a second opening.
    await second.heard('notifications/resources/updated')
    await second.heard('notifications/tools/list_changed')
    expect(second.lines.join('\n')).not.toMatch(/serverInfo|port-watchdog:resume/)
    await until('what the one that was killed has started is gone', async () =>
      childrenOf(host.pid).length === 0 ? true : undefined,
    )
    const hosts = clients.filter(({ pid }) => childrenOf(pid).length > 0)
    expect(hosts).toHaveLength(1)
    const [next] = hosts
    const other = clients.find((client) => client !== next)
    // The application of the one that is the gateway now ends it, as they do: the other goes on.
    next?.kill('SIGTERM')
    await until('the other goes on with a server of its own', async () => {
      // The gateway that ends may answer as well, and nobody hears that it ends.
      const answer = other === undefined ? '' : await pidOf(other, 'one__pid')
      expect(answer).toMatch(/^\d+$/)
      return answer !== after || undefined
    })
    expect(await other?.end()).toBe(0)
    expect(childrenOf(other?.pid ?? 0)).toEqual([])
  })

  it('leave it to the gateway that a monitor keeps, and go on when that one is killed or restarted', async ({
    watched,
  }) => {
    const connectors = { one: child(), late: child('slow') }
    const file = writePrograms(watched, [], { connectors, gateway: {} })
    const client = new LineClient(watched, '--all', '--config', file)
    await client.initialize()
    client.send(called('own', 'one__slow', { ms: 3000 }))
    await passedOn(client)
    const monitor = watched.start('proxy-monitor', '--config', file)
    await monitor.line(/Monitor started/)
    const first = await runningAs(watched, 'gateway')
    expect(first).not.toBe(client.pid)
    // The call was finished by the gateway that has left its place.
    expect(await client.line('own')).toContain('slept')
    await pidOf(client, 'one__pid')
    await until('the client is no gateway any more', async () =>
      childrenOf(client.pid).length === 0 ? true : undefined,
    )
    process.kill(first, 'SIGKILL')
    expect(await pidOf(client, 'one__pid')).toMatch(/^\d+$/)
    const second = await runningAs(watched, 'gateway', first)
    client.send(called('planned', 'one__slow', { ms: 2000 }))
    await passedOn(client)
    await order(watched, 'restart', 'gateway')
    // A planned restart finishes what is under way.
    expect(await client.line('planned')).toContain('slept')
    expect(await pidOf(client, 'one__pid')).toMatch(/^\d+$/)
    await runningAs(watched, 'gateway', second)
    expect(childrenOf(client.pid)).toEqual([])
    expect((await watched.status()).programs).toMatchObject([{ restarts: 1, plannedRestarts: 1 }])
    expect(await client.end()).toBe(0)
    await watched.run('proxy-monitor', '--stop', '--stop-forwards')
  })
})

describe('a client that leaves at once', () => {
  it('begins no gateway when it has left while it knocked at one that ends', async ({ watched }) => {
    const { file, connectors, gateway } = await loadConnectors(configured(watched, { one: child() }))
    const said: string[] = []
    const wanted = { ...gateway, file, connectors, http: undefined, store: undefined }
    const seat = new Seat({
      stateDirectory: watched.directory,
      wanted,
      load: async () => wanted,
      chosen: undefined,
      startTimeoutMs: 10_000,
      allowNone: false,
      level: 'info',
      say: (line) => void said.push(line),
      echo: () => {},
    })
    const ending = createServer((socket) => void seat.leave().then(() => socket.destroy()))
    await new Promise<void>((resolve) => ending.listen(watched.file('mcp-proxy-clients.sock'), resolve))
    try {
      await expect(seat.find(false)).rejects.toMatchObject({ message: 'its client has left' })
      expect([said, seat.hosted]).toEqual([[], undefined])
    } finally {
      ending.close()
      await seat.hosted?.end()
    }
  })
})
