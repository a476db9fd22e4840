// What `proxy-monitor --check` says of an entry: everything that is not as it would be by itself.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { run, temporaryDirectory } from '../support/children.ts'

it('a check names every key of a program, and where a forward to a program leads', async (t) => {
  const file = path.join(temporaryDirectory(t), 'c.json')
  const web = {
    name: 'web',
    command: ['node', 'x.js'],
    ready: { port: 3000 },
    instances: 2,
    maxInstances: 4,
    keep: true,
    watch: ['src'],
    onDetached: 'adopt',
    input: { allow: ['^rs$'] },
    actions: { test: { command: ['npm', 'test'] } },
    output: { errorRate: { above: 3 } },
  }
  const held = { name: 'held', command: ['node', 'x.js'], socket: 3300, input: true }
  const drawn = { name: 'drawn', command: ['top'], pty: true }
  const forwards = [{ name: 'front', listen: 8080, target: 'program:web' }]
  writeFileSync(file, JSON.stringify({ programs: [web, held, drawn], forwards }))
  const { stdout, code } = await run('proxy-monitor', ['--check', '--config', file])
  expect(code).toBe(0)
  for (const line of [
    'front: port 8080 to program:web',
    'instances: 2, at most 4',
    'keep: true',
    'onDetached: adopt',
    'watch: src',
    'input: allow ^rs$',
    'actions: test',
    'errorRate: 3 within 1 min; beyond: alert',
    'socket: 127.0.0.1:3300',
    'input: true',
    'pty: 80 columns, 24 rows',
  ])
    expect(stdout.split('\n').map((one) => one.trim())).toContain(line)
})
