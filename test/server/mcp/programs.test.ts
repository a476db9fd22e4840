// Programs in the hands of an agent: what is wrong is seen, explained and cured through MCP.
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { agent, call } from '../../support/agent.ts'
import { it } from '../../support/fixtures.ts'
import { startPrograms } from '../../support/programs.ts'
import { freePort, until } from '../../support/tools.ts'

describe('An agent', () => {
  it('finds why a program dies, mends it, and waits until it is ready', async ({ watched }) => {
    const port = await freePort()
    const file = watched.file('app.cjs')
    writeFileSync(file, "console.log('token=abcdef0123456789'); require('no-such-module')")
    const restart = { backoff: 0.2, flappingRestarts: 3 }
    await startPrograms(watched, [{ name: 'app', command: ['node', file], ready: { port }, restart }])
    const client = await agent(watched, 'modern')
    const cause = /log: stderr error: Error: Cannot find module 'no-such-module'/
    // One call without a name shows the line that names the cause.
    const seen = await until('the cause is seen', async () => {
      const { text } = await call(client, 'get_status')
      if (cause.test(text)) return text
      throw new Error(text)
    })
    expect(seen).not.toContain('abcdef0123456789')
    expect(seen.length).toBeLessThan(4500)
    const waited = await call(client, 'wait_ready', { units: ['app'] })
    expect(waited).toMatchObject({ isError: true, structured: { results: [{ outcome: 'failed' }] } })
    expect(waited.text).toMatch(
      /^failed: (failed|flapping): .*Next: get_logs \{"units":\["app"\]\}\nnow: app \(program\)[\s\S]*Cannot find module/,
    )
    expect((await call(client, 'process_list')).text).toMatch(
      /^app \(program\) .*last line: .*Cannot find module/m,
    )
    // An agent has tools: what it is to do next is one of them.
    expect(waited.text).not.toContain('proxy-')
    const next = await call(client, 'get_status', { units: ['app'] })
    expect(next.structured.next).toEqual(['get_logs {"units":["app"]}'])
    expect((await call(client, 'get_logs', { name: 'app' })).text).toMatch(/"name" \(did you mean units\?\)/)
    expect((await call(client, 'get_logs', { units: ['aqp'] })).text).toMatch(/"aqp" \(did you mean app\?\)/)
    const found = await call(client, 'logs_search', { words: 'no-such-module' })
    expect(found.text).toContain("Cannot find module 'no-such-module'")

    writeFileSync(
      file,
      `require('http').createServer((q, r) => r.end(console.log('asked') ?? 'ok')).listen(${port}, '127.0.0.1')`,
    )
    const cured = await call(client, 'process_restart', { units: ['app'] })
    expect(cured.text).toMatch(/^done: app \(program\) healthy: pid \d+/)
    expect((await call(client, 'wait_ready', { units: ['app'] })).text).toMatch(/^already: app/)

    const { cursor } = (await call(client, 'get_logs', { units: ['app'] })).structured
    const updated = new Set<string>()
    client.setNotificationHandler(
      'notifications/resources/updated',
      ({ params }) => void updated.add(params.uri),
    )
    await client.listen({ resourceSubscriptions: ['process://app/log'] })
    await until('the new line was told', async () => {
      await fetch(`http://127.0.0.1:${port}`)
      if (updated.has('process://app/log')) return true
      throw new Error('nothing was told')
    })
    const fresh = await call(client, 'get_logs', { units: ['app'], cursor })
    expect(fresh.text).toMatch(/^asked$/m)
    expect(fresh.text).not.toContain('no-such-module')
    const { contents } = await client.readResource({ uri: 'process://app/log' })
    expect(contents[0]).toMatchObject({ text: expect.stringMatching(/asked\n$/) })
    await client.close()
  })

  it('gets no more of a flood than it has room for, and no secrets of it', async ({ watched }) => {
    const flood =
      'for (let i = 0; i < 20000; i++) console.log("line", i, "https://bob:secretsecret@host/"); setInterval(() => {}, 1e6)'
    await startPrograms(watched, [{ name: 'noisy', command: ['node', '-e', flood] }])
    const client = await agent(watched, 'legacy')
    const page = await until('all lines are there', async () => {
      const said = await call(client, 'get_logs', { units: ['noisy'], tail: 20_000 })
      if (said.text.includes('line 19999')) return said
      throw new Error(said.text.slice(-200))
    })
    expect(page.text.length).toBeLessThan(26_000)
    expect(JSON.stringify(page.structured).length).toBeLessThan(26_000)
    expect(page.text).not.toContain('secretsecret')
    expect(page.structured).toMatchObject({ cursor: expect.any(String) })
    await client.close()
  })
})
