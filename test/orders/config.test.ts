// proxy-ctl config: what holds, what a file would change, what was in force before, and back to it.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import type { OrderAnswer } from '../../src/orders/order.ts'
import { it } from '../support/fixtures.ts'
import { programWhen, script, startPrograms, type WantedProgram } from '../support/programs.ts'
import type { Watched } from '../support/watched.ts'

const idle = script('setInterval(() => {}, 1000)')
const web: WantedProgram = { name: 'web', command: idle, env: { API_KEY: 'hunter2hunter2' } }

/** Gives an order on the control socket; its output, or its error. */
async function give(watched: Watched, name: string, input: object = {}) {
  const ask = { order: name, input }
  const answer = (await askControl(watched.file('control.sock'), 'order', ask, 30_000)) as OrderAnswer
  return 'output' in answer
    ? (answer.output as Record<string, unknown>)
    : (answer.error as unknown as Record<string, unknown>)
}

function rewrite(watched: Watched, change: (text: string) => string): void {
  const file = watched.file('configuration.json')
  writeFileSync(file, change(readFileSync(file, 'utf8')))
}

const history = async (watched: Watched) =>
  (await give(watched, 'config-history')).configurations as Record<string, unknown>[]

describe('proxy-ctl config', () => {
  it('shows what holds, checks a candidate, tells what differs, and never shows a secret', async ({
    watched,
  }) => {
    await startPrograms(watched, [web, { name: 'docs', template: 'static', autostart: false }])
    const shown = await watched.run('proxy-ctl', 'config', 'show', 'web')
    expect(shown.code).toBe(0)
    expect(shown.stdout).toMatch(/^programs\.web\.restart\.backoff: 0 +line 1$/m)
    expect(shown.stdout).toMatch(/^programs\.web\.env\.API_KEY: "\[redacted\]" +line 1$/m)
    expect(shown.stdout).not.toContain('autostart')
    expect((await watched.run('proxy-ctl', 'config', 'show', 'web', '--all')).stdout).toMatch(
      /^programs\.web\.autostart: true +default$/m,
    )
    const words = /^programs\.docs\.output\.patterns\.warning: .*template static$/m
    expect((await watched.run('proxy-ctl', 'config', 'show', 'docs')).stdout).not.toMatch(words)
    expect((await watched.run('proxy-ctl', 'config', 'show', 'docs', '--all')).stdout).toMatch(words)
    writeFileSync(
      watched.file('new.yaml'),
      'programs:\n  - name: web\n    comand: [a]\nforwards:\n  - { name: f }\n',
    )
    const checked = await watched.run('proxy-ctl', 'config', 'check', watched.file('new.yaml'))
    expect(checked.code).toBe(78)
    const lines = checked.stdout.trimEnd().split('\n')
    expect(lines.map((line) => line.replace(/^.*new\.yaml: /, ''))).toEqual([
      'line 3: programs[0]: unknown key "comand" (did you mean command?)',
      'line 5: forwards[0] has no listen',
      'line 5: forwards[0] has no target',
    ])
    expect(await give(watched, 'config-diff')).toMatchObject({ change: null, values: [] })
    const text = readFileSync(watched.file('configuration.json'), 'utf8')
    const other = text.replace('hunter2hunter2', 'correcthorsebattery').replace('300ms', '400ms')
    expect(await give(watched, 'config-check', { text: other })).toMatchObject({
      valid: true,
      change: 'changed web; another interval',
    })
    writeFileSync(watched.file('configuration.json'), other)
    await give(watched, 'reload')
    const differs = await watched.run('proxy-ctl', 'config', 'diff', '1')
    expect(differs.stdout).toContain('- interval: 300ms\n+ interval: 400ms\n')
    expect(differs.stdout).toContain('+ programs.web.env.API_KEY: "[redacted], another one"\n')
    expect(differs.stdout + shown.stdout).not.toMatch(/hunter2|correcthorse/)
  })

  it('keeps the last five, says why each was in force, and brings one back, undone in the same way', async ({
    watched,
  }) => {
    await startPrograms(watched, [web])
    const first = readFileSync(watched.file('configuration.json'), 'utf8')
    for (const seconds of [1, 2, 3]) {
      rewrite(watched, (text) => text.replace(/"interval":"[^"]+"/, `"interval":"${seconds}s"`))
      expect((await give(watched, 'reload')).outcome).toBe('changed')
    }
    const kept = await history(watched)
    expect(kept.map(({ id, why, current }) => [id, why, current])).toEqual([
      [4, 'order', true],
      [3, 'order', false],
      [2, 'order', false],
      [1, 'start', false],
    ])
    expect(kept[0]).toMatchObject({ order: 'reload', change: 'another interval' })
    const file = watched.file('configuration-history.json')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    // What a person has begun to write is not lost.
    rewrite(watched, () => '{ "half')
    const restored = await give(watched, 'config-restore', { id: 1 })
    expect(restored).toMatchObject({ restored: 1, undo: 4, change: 'another interval' })
    expect(readFileSync(String(restored.displaced), 'utf8')).toBe('{ "half')
    expect(readFileSync(watched.file('configuration.json'), 'utf8')).toBe(first)
    expect(await give(watched, 'config-restore', { id: 4 })).toMatchObject({ restored: 4, undo: 5 })
    // The sixth has pushed the first one out.
    expect((await history(watched)).map(({ id }) => id)).toEqual([6, 5, 4, 3, 2])
    expect(await give(watched, 'config-restore', { id: 1 })).toMatchObject({
      code: 'unknown-configuration',
      next: 'name one of 6, 5, 4, 3, 2',
    })
    const journal = readFileSync(watched.file('events.jsonl'), 'utf8')
    expect(journal.match(/"order":"config-restore"/g)).toHaveLength(3)
  })

  it('restores nothing that is not valid any more', async ({ watched }) => {
    const patterns = watched.file('patterns.yaml')
    writeFileSync(patterns, 'patterns: { slow: [{ regex: SLOW, priority: 1 }] }\n')
    await startPrograms(watched, [web], { output: { patterns } })
    rewrite(watched, (text) => text.replace('300ms', '400ms'))
    await give(watched, 'reload')
    writeFileSync(patterns, 'patterns: { slow: [{ regex: "(", priority: 1 }] }\n')
    const before = readFileSync(watched.file('configuration.json'), 'utf8')
    expect(await give(watched, 'config-restore', { id: 1 })).toMatchObject({ code: 'invalid-configuration' })
    expect(readFileSync(watched.file('configuration.json'), 'utf8')).toBe(before)
    await programWhen(watched, 'web', ({ state }) => state === 'healthy')
  })

  it('is known after a restart of the monitor, and begins anew when its file is damaged', async ({
    watched,
  }) => {
    const monitor = await startPrograms(watched, [web])
    rewrite(watched, (text) => text.replace('300ms', '400ms'))
    await give(watched, 'reload')
    const again = async (damage: () => void) => {
      await watched.run('proxy-ctl', 'stop-monitor')
      damage()
      const next = watched.start('proxy-monitor', '--config', watched.file('configuration.json'))
      await next.line(/Monitor started/)
      return (await history(watched)).map(({ id }) => id)
    }
    expect(await again(() => {})).toEqual([2, 1])
    expect(await again(() => writeFileSync(watched.file('configuration-history.json'), '{"half'))).toEqual([
      1,
    ])
    await monitor.ended()
  })
})
