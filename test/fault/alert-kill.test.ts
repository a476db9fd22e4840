import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import type { AlertBody } from '../../src/alert/message-text.ts'
import type { IncidentChange } from '../../src/record/shapes/alerts.ts'
import { AlertReceiver, fine, type Received } from '../support/alert-receiver.ts'
import { RunningCommand, temporaryDirectory } from '../support/children.ts'
import { checkout } from '../support/tools.ts'

const runs = 10
const alertsEachRun = 8

const changesOf = (received: readonly Received[]): IncidentChange[] =>
  received.flatMap(({ body }) => (JSON.parse(body) as AlertBody).changes)

const queuedBy = ({ stdout }: RunningCommand) =>
  [...stdout.matchAll(/^queued (.*)$/gm)].map(([, name = '']) => name)

describe('kill -9 in the middle of the queue', () => {
  it('loses nothing, and what arrives twice has the same ids', async (t) => {
    const directory = temporaryDirectory(t)
    // Every third request is not answered: it has arrived, and the sender does not know.
    const answers = Array.from({ length: runs * 3 }, (_, index) => (index % 3 === 2 ? 'hang' : fine))
    const receiver = await AlertReceiver.start(t, answers)
    const child = (run: number, count: number) => {
      const program = join(checkout, 'dist', 'test', 'support', 'alert-delivery-process.js')
      return new RunningCommand(program, [directory, receiver.url(), String(run), String(count)])
    }
    const queued = new Set<string>()
    for (let run = 0; run < runs; run++) {
      const victim = child(run, alertsEachRun)
      if (run % 2 === 0) await receiver.count(receiver.received.length + 1 + ((run / 2) % 2))
      else await victim.until((stdout) => stdout.split('\n').length > 1 + (run % alertsEachRun))
      victim.child.kill('SIGKILL')
      await victim.ended
      for (const name of queuedBy(victim)) queued.add(name)
    }

    const last = child(runs, 0)
    const received = await receiver.when((requests) => {
      const arrived = new Set(changesOf(requests).map(({ forward }) => forward))
      return [...queued].every((name) => arrived.has(name))
    })
    last.child.kill('SIGKILL')
    await once(last.child, 'exit')

    const byId = new Map<string, IncidentChange>()
    for (const change of changesOf(received)) {
      assert.deepEqual(change, byId.get(change.id) ?? change, 'the same id is the same change')
      byId.set(change.id, change)
    }
    const openings = [...byId.values()].map(({ forward }) => forward)
    assert.equal(new Set(openings).size, openings.length, 'no monitor opened again what another had opened')
    const bodies = new Map(received.map(({ headers, body }) => [String(headers['webhook-id']), body]))
    for (const { headers, body } of received) assert.equal(body, bodies.get(String(headers['webhook-id'])))
    void t.annotate(`${runs} kills, ${byId.size} alerts, ${received.length} requests`)
  })
})
