import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { parseJournalLine } from '../../src/record/journal.ts'
import type { IncidentRecord } from '../../src/record/shapes/alerts.ts'
import type { RuntimeState } from '../../src/record/shapes/runtime-state.ts'
import { it } from '../support/fixtures.ts'
import { startMonitor } from '../support/monitored.ts'
import { checkout, freePort, until } from '../support/tools.ts'
import { echoServer, type Watched } from '../support/watched.ts'

/** An incident that was open when that monitor was killed. */
const incident = 'a1bfb6dd-2'

/**
 * What a monitor wrote that knew forwards alone, each by its port or name; it and its forwarder were killed. The forward `web` had been
 * restarted once, and its target was silent.
 */
function leaveState(watched: Watched, port: number, targetPort: number): void {
  mkdirSync(watched.directory, { recursive: true, mode: 0o700 })
  for (const name of ['runtime-state.json', 'alerts.json', 'events.jsonl']) {
    const text = readFileSync(join(checkout, 'test', 'support', 'state-before', name), 'utf8')
    const here = text.replaceAll('18080', String(port)).replaceAll('18090', String(targetPort))
    writeFileSync(watched.file(name), here, { mode: 0o600 })
  }
}

it('a monitor goes on from the files of one that named nothing by unit, also under another name', async ({
  watched,
}) => {
  const [port, targetPort] = [await freePort(), await freePort()]
  leaveState(watched, port, targetPort)
  const unit = `forward-${port}`
  const read = <T>(name: string) => JSON.parse(readFileSync(watched.file(name), 'utf8')) as T
  await startMonitor(watched, {
    forwards: [{ name: 'shop', listen: port, target: `localhost:${targetPort}` }],
  })
  const record = await until('a record', async () => {
    return read<RuntimeState>('runtime-state.json').forwards.find(
      (one) => one.unit === unit && one.phase === 'running',
    )
  })
  assert.deepEqual(
    { unit: record.unit, name: record.name, port: record.port, restarts: record.restarts },
    { unit, name: 'shop', port, restarts: 1 },
  )
  assert.ok(record.memory.generation > 2)
  const open = await until('the incident under its unit', async () => {
    return read<IncidentRecord>('alerts.json').incidents.incidents.find((one) => one.unit === unit)
  })
  assert.equal(open.id, incident)
  assert.equal(open.title, 'Target of shop')
  const echo = await echoServer(targetPort)
  await watched.logLine(new RegExp(`ALERT resolved: Target .*of shop answers again .*\\[${incident}\\]`))
  // The log tells it first, the record follows.
  await until('no incident on record', async () => {
    return read<IncidentRecord>('alerts.json').incidents.incidents.length === 0 || undefined
  })
  const { stdout } = await watched.run('proxy-log', '--why', 'shop')
  assert.match(stdout, /^shop \(port \d+\), last restart/m)
  const events = readFileSync(watched.file('events.jsonl'), 'utf8').split('\n').flatMap(parseJournalLine)
  const named = events.flatMap((one) => (one.event === 'forward' ? [[one.forward, one.unit]] : []))
  assert.deepEqual(named[0], ['web', undefined])
  assert.deepEqual(named.at(-1), ['shop', unit])
  await echo.close()
}, 60_000)
