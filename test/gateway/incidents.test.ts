// What is wrong in the gateway, on its way to people: through the monitor to an alert, the journal and the status.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as passed } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { AlertReceiver } from '../support/alert-receiver.ts'
import { it } from '../support/fixtures.ts'
import { child } from '../support/gateway.ts'
import { runningAs, writePrograms } from '../support/programs.ts'
import { freePort, until } from '../support/tools.ts'

interface Change {
  readonly event: string
  readonly severity: string
  readonly subject: string
  readonly unit: string
  readonly message: string
}

describe('incidents of the gateway', { timeout: 60_000 }, () => {
  it('a connector that is down, a tool that has changed and a rule about calls are alerted, journalled and shown', async ({
    watched,
    onTestFinished,
  }) => {
    const receiver = await AlertReceiver.start({ onTestFinished })
    const changes = () =>
      receiver.received.flatMap(({ body }) => (JSON.parse(body) as { changes: Change[] }).changes)
    const told = (event: string, subject: string) =>
      until(`${subject} ${event}; there are ${JSON.stringify(changes())}`, async () =>
        changes().find((change) => change.event === event && change.subject === subject),
      )
    const pulled = watched.file('pulled')
    const port = await freePort()
    const env = { RUG_PULL: pulled }
    const file = writePrograms(watched, [], {
      connectors: {
        dead: {
          ...child('end-if-pulled'),
          env,
          restart: { backoff: '50ms', backoffLimit: '50ms', flappingRestarts: 0 },
        },
        changed: { ...child(), env },
      },
      gateway: {
        http: { listen: `127.0.0.1:${port}` },
        access: { requests: { inFlight: 2 } },
        alerts: { inFlight: { above: 0.5, for: '50ms' }, errorRate: false },
      },
      alerts: { group: '100ms', channels: [{ type: 'webhook', url: receiver.url('/hook') }] },
    })
    const monitor = watched.start('proxy-monitor', '--config', file)
    await monitor.line(/Monitor started/)
    await runningAs(watched, 'gateway')
    const key = readFileSync(watched.file('mcp_proxy_key'), 'utf8').trim()
    const call = (tool: string, args: object = {}, signal: AbortSignal | null = null) =>
      fetch(`http://127.0.0.1:${port}/mcp`, {
        method: 'POST',
        signal,
        headers: { 'content-type': 'application/json', 'x-api-key': key },
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: tool, arguments: args },
        }),
      })
    for (const tool of ['dead__echo', 'changed__echo']) await (await call(tool)).text()

    writeFileSync(pulled, '')
    await (await call('changed__change')).text()
    await (await call('dead__end_writing')).text()
    expect(await told('opened', 'connector:dead')).toMatchObject({ severity: 'critical', unit: 'gateway' })
    expect((await told('opened', 'tools:changed')).message).toContain(
      "Connector 'changed' has changed the description of echo",
    )
    const report = await watched.statusWhen(
      'it shows both',
      ({ incidents, programs }) =>
        programs.some(
          ({ state, reason }) => state === 'degraded' && reason?.includes("'dead' is down") === true,
        ) && incidents.length === 2,
    )
    expect(report.incidents.map(({ subject }) => subject).sort()).toEqual(['connector:dead', 'tools:changed'])

    // The rule looks every few seconds, and whenever the configuration is read again.
    const leave = new AbortController()
    const slow = [1, 2].map(() => call('changed__slow', { ms: 30_000 }, leave.signal).catch(() => {}))
    const reload = () => watched.run('mcp-proxy', 'reload', '--state-dir', watched.directory)
    await until('the rule fails', async () => {
      await reload()
      await passed(60)
      return changes().find(({ subject }) => subject === 'in-flight')
    })
    expect(await told('opened', 'in-flight')).toMatchObject({
      severity: 'critical',
      message:
        '100 % of the requests that the gateway takes at once are under way, for 0 s or longer; the limit is 50 %',
    })
    leave.abort()
    await Promise.all(slow)

    rmSync(pulled)
    await (await call('changed__change')).text()
    await watched.run('mcp-proxy', 'retry')
    await reload()
    const over = await told('resolved', 'connector:dead')
    expect(over).toMatchObject({ severity: 'info', message: "Connector 'dead' works again" })
    await told('resolved', 'tools:changed')
    await told('resolved', 'in-flight')
    const journal = readFileSync(watched.file('events.jsonl'), 'utf8').trim().split('\n')
    const journalled = journal
      .map((line) => JSON.parse(line) as Readonly<Record<string, string>>)
      .filter(({ event }) => event === 'incident')
      .map(({ name, change, subject }) => `${name} ${change} ${subject}`)
    for (const subject of ['connector:dead', 'tools:changed', 'in-flight'])
      for (const change of ['opened', 'resolved'])
        expect(journalled).toContain(`gateway ${change} ${subject}`)
  })
})
