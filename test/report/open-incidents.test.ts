import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'

import { newHealth } from '../../src/alert/channel-records.ts'
import { decideIncidents, type Facts, incidentDefaults, initialIncidents } from '../../src/alert/incident.ts'
import { openIncidents } from '../../src/alert/open-incidents.ts'
import { enqueue } from '../../src/alert/queue.ts'
import { it } from '../support/fixtures.ts'
import { freePort } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

const facts: Facts = {
  unit: 'forward-8080',
  forward: 'web',
  port: 8080,
  subject: 'memory',
  title: 'Memory of web',
  message: 'too much',
  failingForMs: 0,
  restarts: 0,
  restartsWhileFailing: 0,
}
const at = (ms: number) => ({ wallMs: 1_800_000_000_000 + ms, monotonicMs: ms, bootId: 'this-boot' })
const policy = { ...incidentDefaults, reminderMs: 0, groupMs: 1000 }

it('An incident is waited for, told, or was never told, by channel', () => {
  const opened = decideIncidents(initialIncidents('seed'), { kind: 'opened', facts }, at(1000), policy)
  const { incidents, pending } = opened.state
  const channel = (lastDeliveredAt: ReturnType<typeof at> | null, type: 'slack' | 'ping' = 'slack') => ({
    schemaVersion: 1 as const,
    fingerprint: null,
    health: { ...newHealth('one', type), lastDeliveredAt },
    queue: [],
  })
  const stateOf = (...parameters: Parameters<typeof openIncidents>) =>
    openIncidents(...parameters)[0]?.channels.map(({ state }) => state)
  assert.deepEqual(stateOf(incidents, pending, [channel(at(500))]), ['waiting'], 'in no queue yet')
  const sent = decideIncidents(opened.state, { kind: 'tick' }, at(2000), policy)
  const [message] = sent.messages
  assert.ok(message)
  const { queue } = enqueue([], message, false)
  assert.deepEqual(stateOf(sent.state.incidents, [], [{ ...channel(at(500)), queue }]), ['waiting'])
  assert.deepEqual(stateOf(sent.state.incidents, [], [channel(at(2500))]), ['told'])
  assert.deepEqual(stateOf(sent.state.incidents, [], [channel(at(500))]), ['not-told'])
  assert.deepEqual(stateOf(sent.state.incidents, [], [channel(null)]), ['not-told'])
  assert.deepEqual(stateOf(sent.state.incidents, [], [channel(null, 'ping')]), [], 'no channel')
})

it('The status lists what is open, since when, and who was told, with a monitor and without', async ({
  watched,
}) => {
  const echo = await echoServer()
  const port = await freePort()
  const file = watched.file('configuration.json')
  const channels = [
    { type: 'command', name: 'works', command: ['true'] },
    { type: 'command', name: 'fails', command: ['false'] },
  ]
  const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}`, limits: { memory: '1M' } }]
  writeFileSync(file, JSON.stringify({ interval: '300ms', forwards, alerts: { group: 0, channels } }))
  const monitor = watched.start('proxy-monitor', '--config', file)
  const isTold = (name: string, state: string) => (report: Awaited<ReturnType<typeof watched.status>>) =>
    report.incidents[0]?.channels.some((one) => one.name === name && one.state === state) === true
  await watched.statusWhen('told to one', isTold('works', 'told'))
  const report = await watched.statusWhen('not yet to the other', isTold('fails', 'waiting'))
  const [incident] = report.incidents
  assert.equal(report.incidents.length, 1)
  assert.equal(incident?.subject, 'memory')
  assert.ok(Date.parse(incident?.since ?? '') <= Date.now())
  const { monitor: own } = report
  assert.equal(own.lastRoundForwards, 1)
  assert.ok((own.lastRoundMs ?? -1) >= 0 && (own.lastRoundMs ?? 0) < 20_000)
  const row = /one +degraded.*\n {4}uses .* · notified: works \/ notification\s+pending: fails/
  const text = (await watched.run('proxy-status')).stdout
  assert.match(text, row)
  assert.doesNotMatch(text, /open incidents/, 'its row tells of it')
  const list = /open incidents:\n {2}one uses .* notified: works \/\s+notification\s+pending:\s+fails/s
  assert.match((await watched.run('proxy-status', String(port))).stdout, list)
  await monitor.stop('SIGKILL')
  assert.match((await watched.run('proxy-status')).stdout, list)
  await echo.close()
})
