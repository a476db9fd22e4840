// config-change: what an agent may change, what it may not, whoever it is, and back.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { describe, expect } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import type { OrderAnswer } from '../../src/orders/order.ts'
import { agent, call, newClient } from '../support/agent.ts'
import { askApi } from '../support/api.ts'
import { it } from '../support/fixtures.ts'
import { programWhen, script, startPrograms, type WantedProgram } from '../support/programs.ts'
import { freePort, until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

const web: WantedProgram = {
  name: 'web',
  command: script('console.log("level", process.env.LOG_LEVEL); setInterval(() => {}, 1000)'),
}

/** Gives an order on the control socket. @returns its output, or its error. */
async function give(watched: Watched, name: string, input: object = {}): Promise<Record<string, unknown>> {
  const ask = { order: name, input }
  const answer = (await askControl(watched.file('control.sock'), 'order', ask, 30_000)) as OrderAnswer
  return ('output' in answer ? answer.output : answer.error) as Record<string, unknown>
}

const change = (watched: Watched, input: object) =>
  give(watched, 'config-change', { units: ['web'], ...input })

/** A monitor whose file allows changes. */
async function started(watched: Watched, more: object = {}) {
  for (const folder of ['apps/docs', 'private']) mkdirSync(watched.file(folder), { recursive: true })
  const configChange = { templates: ['idle'], folders: ['apps'], env: ['LOG_LEVEL'] }
  mkdirSync(watched.file('templates'), { recursive: true })
  writeFileSync(
    watched.file('templates/idle.yaml'),
    `command: ${JSON.stringify(script('setInterval(() => {}, 1000)'))}\nrestart: { failureThreshold: 7 }\n`,
  )
  return startPrograms(watched, [web], { configChange, ...more })
}

let sharedPort: number | undefined

/** The same with HTTP, once for the tests that leave the configuration as it was. @returns the port of HTTP. */
async function startedOnce(shared: Watched): Promise<number> {
  if (sharedPort !== undefined) return sharedPort
  sharedPort = await freePort()
  const monitor = await started(shared, { http: { listen: `127.0.0.1:${sharedPort}` } })
  await monitor.line(/The API is at/)
  return sharedPort
}

const kept = (watched: Watched) => watched.file('configuration-changes.json')

describe('config-change', () => {
  it('changes what is allowed, is undone by one order, and outlives the monitor', async ({ watched }) => {
    const monitor = await started(watched)
    const file = readFileSync(watched.file('configuration.json'), 'utf8')
    const done = await change(watched, {
      env: { LOG_LEVEL: 'debug' },
      restart: { backoff: '7s' },
      patterns: { slow: [{ regex: 'level', priority: 1 }] },
    })
    expect(done).toMatchObject({ outcome: 'changed', change: 'changed web', undo: 'config-undo' })
    await until('it runs with the variable, and its line has the class', async () => {
      const { lines } = await give(watched, 'logs', { units: ['web'], class: ['slow'] })
      return (lines as { text: string }[]).some(({ text }) => text === 'level debug') ? true : undefined
    })
    const added = await give(watched, 'config-change', {
      units: ['docs'],
      template: 'idle',
      cwd: 'apps/docs',
    })
    expect(added).toMatchObject({ change: 'added docs', ordered: ['template', 'cwd'] })
    const docs = await programWhen(watched, 'docs', ({ state }) => state === 'healthy')
    expect(docs.orderedKeys).toEqual(['template', 'cwd'])
    expect(readFileSync(`/proc/${docs.pid}/environ`, 'utf8')).toContain('PORT_WATCHDOG_PROGRAM=docs')
    // The file of the person is as it was, and ours is ours alone.
    expect(readFileSync(watched.file('configuration.json'), 'utf8')).toBe(file)
    expect(statSync(kept(watched)).mode & 0o777).toBe(0o600)
    await watched.run('proxy-ctl', 'stop-monitor')
    await monitor.ended()
    await watched
      .start('proxy-monitor', '--config', watched.file('configuration.json'))
      .line(/Monitor started/)
    const shown = await watched.run('proxy-ctl', 'config', 'show')
    expect(shown.stdout).toMatch(/^programs\.web\.restart\.backoff: 7s +order$/m)
    expect(shown.stdout).toMatch(/^programs\.docs\.restart\.failureThreshold: 7 +template idle$/m)
    expect(shown.stdout).toMatch(/^programs\.docs\.cwd: .*\/apps\/docs +order$/m)
    expect(await give(watched, 'config-undo')).toMatchObject({ change: 'removed docs', program: 'docs' })
    expect(await give(watched, 'config-undo')).toMatchObject({ change: 'changed web', ordered: [] })
    expect(await give(watched, 'config-undo')).toMatchObject({ code: 'nothing-to-undo' })
    expect(JSON.parse(readFileSync(kept(watched), 'utf8'))).toMatchObject({ programs: [], undo: [] })
    const audit = readFileSync(watched.file('audit.jsonl'), 'utf8')
    expect(audit).toContain('"env":{"LOG_LEVEL":"[redacted]"}')
    expect(readFileSync(watched.file('events.jsonl'), 'utf8')).toMatch(
      /"order":"config-change".*"units":\["docs"\],"outcome":"done"/,
    )
  })

  it('never takes a command, another folder, a variable or a value that is not allowed', async ({
    shared: watched,
  }) => {
    await startedOnce(watched)
    symlinkSync(watched.file('private'), watched.file('apps/link'))
    const add = { units: ['evil'], template: 'idle', cwd: 'apps' }
    const attacks: readonly (readonly [object, string])[] = [
      [{ command: ['sh', '-c', 'id'] }, 'invalid-input'],
      [{ shell: true }, 'invalid-input'],
      [{ args: ['--eval', 'x'] }, 'invalid-input'],
      [{ input: true }, 'invalid-input'],
      [{ actions: {} }, 'invalid-input'],
      [{ user: 'root' }, 'invalid-input'],
      [{ restart: { killAfter: '1s' } }, 'invalid-input'],
      [{ ...add, args: ['x'] }, 'invalid-input'],
      [{ ...add, command: ['sh'] }, 'invalid-input'],
      [{ ...add, template: 'mcp-proxy' }, 'change-denied'],
      [{ ...add, template: '../templates/idle' }, 'change-denied'],
      [{ ...add, cwd: 'private' }, 'change-denied'],
      [{ ...add, cwd: 'apps/../private' }, 'change-denied'],
      [{ ...add, cwd: 'apps/link' }, 'change-denied'],
      [{ ...add, cwd: '/' }, 'change-denied'],
      [{ ...add, cwd: `${watched.file('apps')}-other` }, 'invalid-input'],
      [{ ...add, cwd: 'apps\u0000/x' }, 'invalid-input'],
      [{ ...add, port: 70_000 }, 'invalid-input'],
      [{ ...add, port: 1 }, 'invalid-configuration'],
      [{ ...add, units: ['../evil'] }, 'invalid-input'],
      [{ ...add, units: ['--help;id'] }, 'invalid-input'],
      [{ ...add, units: ['web'] }, 'invalid-input'],
      [{ ...add, units: ['monitor'] }, 'invalid-configuration'],
      [{ units: ['a', 'b'], autostart: true }, 'invalid-input'],
      [{ cwd: '/' }, 'invalid-input'],
      [{ env: { LD_PRELOAD: '/tmp/x.so' } }, 'change-denied'],
      [{ env: { NODE_OPTIONS: '--require /tmp/x.js' } }, 'change-denied'],
      [{ env: { PATH: '/tmp' } }, 'change-denied'],
      [{ env: { log_level: 'x' } }, 'change-denied'],
      [{ env: { LOG_LEVEL: 'a\u0000b' } }, 'invalid-input'],
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference that must not be taken for a value
      [{ env: { LOG_LEVEL: '${SECRET}' } }, 'invalid-configuration'],
      [{ env: { LOG_LEVEL: 'x'.repeat(5000) } }, 'invalid-input'],
      [{ patterns: { x: [{ regex: '(?=a)', priority: 1 }] } }, 'invalid-input'],
      [{ patterns: { x: [{ regex: '(a+)+\\1', priority: 1 }] } }, 'invalid-input'],
      [{ patterns: { x: [{ regex: '(?:[^a]{30}){30}', priority: 1 }] } }, 'invalid-input'],
      [{ patterns: { x: [{ regex: 'a'.repeat(300), priority: 1 }] } }, 'invalid-input'],
      [{ patterns: '/etc/shadow' }, 'invalid-input'],
      [{ restart: { backoff: 'x' } }, 'invalid-configuration'],
      [{ limits: { action: 'kill' } }, 'invalid-configuration'],
      [{ remove: true }, 'change-denied'],
      [{ units: ['nobody'], autostart: true }, 'unknown-unit'],
    ]
    for (const [attack, code] of attacks)
      expect((await change(watched, attack)).code, JSON.stringify(attack).slice(0, 200)).toBe(code)
    const proto = JSON.parse('{"__proto__":"x"}')
    expect(await change(watched, { env: proto })).toMatchObject({ outcome: 'unchanged' })
    expect(existsSync(kept(watched))).toBe(false)
    const list = await give(watched, 'list')
    expect((list.units as { name: string }[]).map(({ name }) => name)).toEqual(['web'])
  })

  it('is off by default, and off again when the person takes it back', async ({ watched }) => {
    await started(watched)
    await give(watched, 'config-change', { units: ['docs'], template: 'idle', cwd: 'apps/docs' })
    await change(watched, { autostart: false })
    const file = watched.file('configuration.json')
    const { configChange: _, ...without } = JSON.parse(readFileSync(file, 'utf8'))
    writeFileSync(file, JSON.stringify(without))
    expect(await give(watched, 'reload')).toMatchObject({
      change: 'removed docs; changed web; other rights to change it',
    })
    expect((await give(watched, 'config-show')).setAside).toMatchObject([
      { program: 'docs' },
      { program: 'web' },
    ])
    expect(await change(watched, { autostart: true })).toMatchObject({ code: 'change-denied' })
    // A folder that is a link by now is not what was allowed.
    writeFileSync(
      file,
      JSON.stringify({ ...without, configChange: { templates: ['idle'], folders: ['apps'] } }),
    )
    rmSync(watched.file('apps/docs'), { recursive: true })
    symlinkSync(watched.file('private'), watched.file('apps/docs'))
    await give(watched, 'reload')
    expect((await give(watched, 'config-show')).setAside).toMatchObject([{ program: 'docs' }])
  })

  it('leaves a damaged file as it is, and watches without the changes', async ({ watched }) => {
    writeFileSync(
      kept(watched),
      '{"schemaVersion":1,"programs":[{"name":"web","command":["sh"]}],"undo":[]}',
      {
        mode: 0o600,
      },
    )
    const monitor = await started(watched)
    await monitor.line(/Changes of orders do not hold: .*programs\[0\] is damaged/)
    expect(await change(watched, { autostart: false })).toMatchObject({ code: 'records-unusable' })
    expect(readFileSync(kept(watched), 'utf8')).toContain('"sh"')
    await programWhen(watched, 'web', ({ state }) => state === 'healthy')
  })

  it('orders at once are all there, and a person’s configuration stays in the history', async ({
    watched,
  }) => {
    await started(watched)
    const all = Array.from({ length: 8 }, (_, index) =>
      give(watched, 'config-change', {
        units: [`p${index}`],
        template: 'idle',
        cwd: 'apps',
        autostart: false,
      }),
    )
    expect(new Set((await Promise.all(all)).map(({ outcome }) => outcome))).toEqual(new Set(['changed']))
    const { programs } = JSON.parse(readFileSync(kept(watched), 'utf8'))
    expect(programs).toHaveLength(8)
    const first = readFileSync(watched.file('configuration.json'), 'utf8')
    writeFileSync(watched.file('configuration.json'), first.replace('300ms', '400ms'))
    await give(watched, 'reload')
    for (const autostart of [true, false, true, false, true, false]) await change(watched, { autostart })
    const { configurations } = await give(watched, 'config-history')
    const ids = (configurations as { id: number }[]).map(({ id }) => id)
    expect(ids).toEqual([16, 15, 14, 13, 12, 9])
    expect(await give(watched, 'config-restore', { id: 9 })).toMatchObject({ restored: 9 })
    expect(readFileSync(watched.file('configuration.json'), 'utf8')).toBe(first)
  })

  it('is offered to a key with the scope config alone, and by MCP with its hints', async ({
    shared: watched,
  }) => {
    const port = await startedOnce(watched)
    const keyOf = async (...scopes: string[]) =>
      String((await give(watched, 'key-create', { name: scopes.join('-'), scopes })).secret)
    const tools = async (key: string) => {
      const requestInit = { headers: { authorization: `Bearer ${key}` } }
      const client = newClient('legacy')
      const url = new URL(`http://127.0.0.1:${port}/mcp`)
      await client.connect(new StreamableHTTPClientTransport(url, { requestInit }))
      const { tools: offered } = await client.listTools()
      await client.close()
      return offered.map(({ name }) => name)
    }
    const weak = await keyOf('read', 'control', 'input')
    const strong = await keyOf('read', 'config')
    expect(await tools(weak)).not.toContain('config_change')
    expect(await tools(strong)).toEqual(expect.arrayContaining(['config_change', 'config_undo']))
    const body = { units: ['web'], autostart: false }
    const asked = { method: 'POST', body } as const
    expect((await askApi(port, '/api/config-change', { ...asked, key: weak })).status).toBe(403)
    expect((await askApi(port, '/api/config-change', { ...asked, key: strong })).json).toMatchObject({
      done: true,
      output: { change: 'changed web' },
    })
    expect(
      (await askApi(port, '/api/config-restore', { method: 'POST', key: strong, body: { id: 1 } })).status,
    ).toBe(404)
    const client = await agent(watched, 'legacy')
    const { tools: offered } = await client.listTools()
    const tool = offered.find(({ name }) => name === 'config_change')
    expect(tool).toMatchObject({ annotations: { readOnlyHint: false, destructiveHint: true } })
    expect(Object.keys(tool?.outputSchema?.properties ?? {})).toContain('change')
    const denied = await call(client, 'config_change', { units: ['web'], env: { PATH: '/tmp' } })
    expect(denied.text).toContain('change-denied: the variable PATH is not on the list: LOG_LEVEL')
    const undone = await call(client, 'config_undo')
    expect(undone.text).toContain('"change":"changed web"')
    await client.close()
    expect(path.basename(kept(watched))).toBe('configuration-changes.json')
  })
})
