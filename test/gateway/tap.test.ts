// The wire tap: what goes to connectors and comes back, and one call of it once more.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { describe, expect } from 'vitest'
import type { TapRecord } from '../../src/record/shapes/gateway-tap.ts'
import { it } from '../support/fixtures.ts'
import { child, configured, LineClient } from '../support/gateway.ts'
import { until } from '../support/tools.ts'

const canary = 'canary-6c1f0b'

describe('mcp-proxy tap and replay', () => {
  it('show messages both ways with secrets masked, and send a call once more', async ({ watched }) => {
    const connectors = { echo: child(), other: child() }
    const file = configured(watched, connectors, { tap: true })
    const config = ['--config', file]
    const client = new LineClient(watched, '--all', ...config)
    await client.initialize('cursor')
    const secrets = { password: canary, note: `Authorization: Bearer ${canary}-and-more` }
    await client.ask(1, 'tools/call', { name: 'echo__write', arguments: { n: 1 } })
    await client.ask(2, 'tools/call', { name: 'echo__write', arguments: secrets })
    await client.ask(3, 'tools/call', { name: 'echo__pid' })
    const tap = async (...words: string[]) =>
      (await watched.run('mcp-proxy', 'tap', '--json', ...words)).stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as TapRecord)
    const calls = await tap('--connector', 'echo', '--client', 'cursor')
    expect(calls.map(({ direction, method, client: who }) => [direction, method, who])).toEqual(
      [1, 2, 3].flatMap(() => [
        ['to-server', 'tools/call', 'cursor'],
        ['from-server', 'tools/call', 'cursor'],
      ]),
    )
    expect(calls[1]?.ms).toBeGreaterThanOrEqual(0)
    expect(calls[0]?.message).toMatchObject({ params: { name: 'write', arguments: { n: 1 } } })
    expect((await tap('--connector', 'other')).map(({ method }) => method)).toContain('tools/list')
    const written = watched.file('mcp-proxy-tap.jsonl')
    expect(readFileSync(written, 'utf8')).not.toContain(canary)
    expect(statSync(written).mode & 0o777).toBe(0o600)
    const [plain, , secret, , pid] = calls.map(({ number }) => String(number))
    const shown = (await watched.run('mcp-proxy', 'tap', '--connector', 'echo')).stdout
    const none = (await watched.run('mcp-proxy', 'tap', '--connector', 'gone')).stderr
    expect(none).toContain('no message of this connector or client was written')
    expect(shown).toMatch(
      new RegExp(String.raw`^${plain} \d\d:\d\d:\d\d\.\d{3} → echo tools/call \(cursor\) \{.*"write"`, 'm'),
    )

    const replay = (number = '') => watched.run('mcp-proxy', 'replay', number, ...config)
    expect(await replay(plain)).toMatchObject({ code: 0, stdout: 'the answer is the same\n' })
    expect((await replay(secret)).stderr).toContain('has a secret, which was masked')
    expect((await replay(String(Number(plain) + 1))).stderr).toContain('is no call of a client')
    await client.ask(4, 'tools/call', { name: 'echo__end_writing' })
    const after = await until('its server has another PID', async () => {
      const answer = await replay(pid)
      return answer.code === 1 && answer.stdout.includes('content[0].text') ? answer.stdout : undefined
    })
    expect(after).toMatch(/^content\[0\]\.text\n- "\d+"\n\+ "\d+"\n$/)
    await client.end()
  })

  it('are off until somebody watches', async ({ watched }) => {
    const client = new LineClient(watched, '--all', '--config', configured(watched, { echo: child() }))
    await client.initialize('cursor')
    await client.ask(1, 'tools/call', { name: 'echo__pid' })
    expect(existsSync(watched.file('mcp-proxy-tap.jsonl'))).toBe(false)
    expect((await watched.run('mcp-proxy', 'tap')).stderr).toContain('nothing was written')
    const watching = watched.start('mcp-proxy', 'tap', '--follow')
    let asked = 1
    await until('a call is shown', async () => {
      await client.ask(++asked, 'tools/call', { name: 'echo__pid' })
      return watching.output.includes('← echo tools/call') || undefined
    })
    await watching.stop()
    const size = statSync(watched.file('mcp-proxy-tap.jsonl')).size
    await client.ask('last', 'tools/call', { name: 'echo__pid' })
    expect(statSync(watched.file('mcp-proxy-tap.jsonl')).size).toBe(size)
    await client.end()
  })
})
