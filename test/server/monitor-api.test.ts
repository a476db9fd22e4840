// The API of a real monitor, with keys that proxy-ctl makes.

import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { askApi } from '../support/api.ts'
import { Authority } from '../support/certificates.ts'
import { it } from '../support/fixtures.ts'
import { healthyAs, monitorCommand, startMonitor } from '../support/monitored.ts'
import { freePort, run, until } from '../support/tools.ts'
import { command, echoServer } from '../support/watched.ts'

describe('proxy-monitor --http', () => {
  it('takes orders of the keys that proxy-ctl makes, until it revokes them', async ({ watched }) => {
    const echo = await echoServer()
    const [port, other, api] = [await freePort(), await freePort(), await freePort()]
    const forwards = [
      { name: 'web', listen: port, target: `localhost:${echo.port}` },
      { name: 'other', listen: other, target: `localhost:${echo.port}` },
    ]
    const monitor = await startMonitor(watched, { forwards, words: ['--http', `127.0.0.1:${api}`] })
    await monitor.line(/The API is at/)
    await healthyAs(watched, port)
    const words = ['--scope', 'read,control', '--program', 'web', '--expires', '12h']
    const made = await watched.run('proxy-ctl', 'key', 'create', 'agent', ...words)
    expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('read, control on web, until 20') })
    const key = made.stdout.trim()
    expect(key).toMatch(/^pwk_[a-z2-7]{10}_[\w-]{43}$/)

    const before = (await askApi(api, '/api/list', { key })).json.output.units
    expect(before).toMatchObject([{ name: 'web', phase: 'running' }])
    const restart = { method: 'POST', key, body: { units: ['web'] } }
    expect(await askApi(api, '/api/restart', restart)).toMatchObject({
      status: 200,
      json: { done: true, output: { units: [{ outcome: 'done', state: { phase: 'running' } }] } },
    })
    expect((await askApi(api, '/api/restart', { ...restart, body: { units: ['other'] } })).status).toBe(404)
    expect((await askApi(api, '/api/status', { key })).json.output.forwards).toMatchObject([{ name: 'web' }])

    const keyFile = watched.file('agent.key')
    writeFileSync(keyFile, key, { mode: 0o600 })
    const remote = ['--url', `http://127.0.0.1:${api}`, '--key-file', keyFile]
    const ctl = (...words: string[]) => run(command('proxy-ctl', ...words, ...remote))
    expect(await ctl('list')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^web +(?:healthy|waiting)/m),
    })
    expect(await ctl('hand-over', 'web')).toMatchObject({ code: 0, stdout: expect.stringContaining('✓ web') })
    expect(await ctl('stop', 'other')).toMatchObject({ code: 64 })
    expect(await ctl('key', 'list')).toMatchObject({ code: 1 })
    const events = await ctl('events', '--last', '1', '--timeout', '0', '--json')
    expect(JSON.parse(events.stdout)).toMatchObject({ id: expect.stringMatching(/^\w{8}\.\d+\.\d+$/) })
    const clear = await run(
      command('proxy-ctl', 'list', '--url', 'http://192.0.2.7:1', '--key-file', keyFile),
    )
    expect(clear).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('in the clear; use https, or ssh -L'),
    })

    const again = await watched.run('proxy-ctl', 'key', 'create', 'agent')
    expect(again).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is a key with the name agent'),
    })
    const list = await watched.run('proxy-ctl', 'key', 'list')
    expect(list.stdout).toMatch(
      /^agent {2}pwk_\w{10}_… {2}read,control {2}web {2}expires 20\S+ {2}last used 20/,
    )
    expect((await watched.run('proxy-ctl', 'key', 'revoke', 'agent')).code).toBe(0)
    expect((await askApi(api, '/api/list', { key })).code).toBe('wrong-key')
    expect(await ctl('list')).toMatchObject({
      code: 77,
      stderr: expect.stringContaining('there is no such key'),
    })

    // Neither the key nor its hash is anywhere but where it belongs.
    const secret = key.slice(15)
    for (const file of [
      'audit.jsonl',
      'events.jsonl',
      'proxy_monitor.log',
      'proxy-logs.jsonl',
      'api_keys.json',
    ])
      expect(readFileSync(watched.file(file), 'utf8'), file).not.toContain(secret)
    expect(statSync(watched.file('audit.jsonl')).mode & 0o777).toBe(0o600)
    const audit = readFileSync(watched.file('audit.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(audit.slice(0, 7).map(({ order, outcome, actor }) => `${actor.user} ${order} ${outcome}`)).toEqual(
      [
        expect.stringMatching(/ key-create done$/),
        'agent restart done',
        'agent restart refused',
        'agent hand-over done',
        'agent stop refused',
        expect.stringMatching(/ key-create failed$/),
        expect.stringMatching(/ key-revoke done$/),
      ],
    )
    await echo.close()
  })

  it('begins, moves and ends with the configuration', async ({ watched }) => {
    const forwards = [{ name: 'web', listen: await freePort(), target: 'localhost:1' }]
    const monitor = await startMonitor(watched, { forwards })
    const file = watched.file('configuration.json')
    const configuration = JSON.parse(readFileSync(file, 'utf8'))
    const ports = [await freePort(), await freePort()]
    for (const port of ports) {
      writeFileSync(file, JSON.stringify({ ...configuration, http: { listen: `127.0.0.1:${port}` } }))
      await monitor.line(new RegExp(`The API is at http://127.0.0.1:${port}/api`))
      expect((await askApi(port, '/healthz')).status).toBe(200)
    }
    await expect(askApi(ports[0] ?? 0, '/healthz')).rejects.toThrow()
    writeFileSync(file, JSON.stringify(configuration))
    await until('it is gone', () =>
      askApi(ports[1] ?? 0, '/healthz').then(
        () => undefined,
        () => true,
      ),
    )
  })

  it('begins when its certificate can be read, and the watch does not wait for it', async ({ watched }) => {
    const authority = await Authority.create()
    const pair = await authority.issueLocal()
    const port = await freePort()
    const cert = watched.file('late.crt')
    const words = ['--http', `127.0.0.1:${port}`, '--tls-cert', cert, '--tls-key', pair.key]
    const forwards = [{ name: 'web', listen: await freePort(), target: 'localhost:1' }]
    const monitor = await startMonitor(watched, { forwards, words })
    await monitor.line(/The API is not served: .*late.crt cannot be read/)
    copyFileSync(pair.cert, cert)
    await monitor.line(/The API is at https/)
    const ca = readFileSync(authority.ca.cert, 'utf8')
    expect((await askApi(port, '/healthz', { ca })).status).toBe(200)
    authority.remove()
  })

  it('refuses to listen beyond loopback without TLS, on the command line and in the file', async ({
    watched,
  }) => {
    const forwards = [{ name: 'web', listen: await freePort(), target: 'localhost:1' }]
    const listen = '0.0.0.0:6280'
    monitorCommand(watched, { forwards })
    const file = watched.file('configuration.json')
    const given = ['--config', file]
    const open = `${listen} is open to the network, where keys must not be sent in the clear`
    expect(await watched.run('proxy-monitor', ...given, '--http', listen)).toMatchObject({
      code: 64,
      stderr: expect.stringContaining(`${open}: give --tls-cert and --tls-key, or --tls-self-signed`),
    })
    expect(await watched.run('proxy-monitor', ...given, '--insecure-http')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('--insecure-http needs --http ADDRESS:PORT'),
    })
    writeFileSync(file, JSON.stringify({ forwards, http: { listen } }))
    expect(await watched.run('proxy-monitor', ...given)).toMatchObject({
      code: 78,
      stderr: expect.stringContaining(open),
    })
  })
})
