import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { AlertReceiver } from '../support/alert-receiver.ts'
import { run, temporaryDirectory } from '../support/children.ts'

/** Runs `proxy-monitor --test-alert` with these alerts. */
function test(t: TestContext, alerts: object, ...words: string[]) {
  const file = path.join(temporaryDirectory(t), 'c.json')
  writeFileSync(file, JSON.stringify({ forwards: [], alerts }))
  return run('proxy-monitor', ['--config', file, '--test-alert', ...words])
}

describe('proxy-monitor --test-alert', () => {
  it('sends a marked message through every channel, and says how each went', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const full = await AlertReceiver.start(t, [{ status: 500, body: 'no space' }])
    const proof = path.join(temporaryDirectory(t), 'in')
    const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`
    const { code, stdout } = await test(t, {
      channels: [
        { type: 'webhook', name: 'good', url: receiver.url('/good'), secret },
        { type: 'slack', name: 'bad', url: full.url() },
        { type: 'command', name: 'script', command: ['sh', '-c', `cat > ${proof}`] },
      ],
      ping: { url: receiver.url('/ping') },
    })
    assert.equal(code, 69)
    assert.equal(
      stdout,
      'good: delivered\nbad: failed: HTTP 500: "no space"\nscript: delivered\nping: delivered\n',
    )
    assert.ok(existsSync(proof))
    const { text, severity, changes } = JSON.parse(readFileSync(proof, 'utf8'))
    assert.match(text, /: test alert\n• this is a test alert; nothing is wrong/)
    assert.deepEqual([severity, changes[0].event], ['info', 'test'])
  })

  it('tests one channel alone, and ends with 0 when it took the message', async (t) => {
    const receiver = await AlertReceiver.start(t)
    const channels = ['one', 'two'].map((name) => ({ type: 'discord', name, url: receiver.url(`/${name}`) }))
    const { code, stdout } = await test(t, { channels }, 'two')
    assert.deepEqual([code, stdout], [0, 'two: delivered\n'])
    const unknown = await test(t, { channels }, 'three')
    assert.deepEqual([unknown.code, unknown.stderr.includes('name one of one, two')], [64, true])
  })

  it('says that there is none to test', async (t) => {
    const { code, stderr } = await test(t, {})
    assert.deepEqual([code, /no alert channel is configured/.test(stderr)], [78, true])
  })

  it('leaves no file behind', async (t) => {
    const state = temporaryDirectory(t)
    const receiver = await AlertReceiver.start(t)
    await test(t, { channels: [{ type: 'slack', url: receiver.url('/x') }] }, 'slack', '--state-dir', state)
    assert.deepEqual(readdirSync(state), [])
  })
})
