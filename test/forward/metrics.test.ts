import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { type EventEmitter, once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import { describe } from 'vitest'
import { parseHttpPlace } from '../../src/config/values.ts'
import { askControl } from '../../src/control/client.ts'
import { createAdmission } from '../../src/forward/limits/admission.ts'
import type { Exposition } from '../../src/forward/metrics.ts'
import { serveMetrics } from '../../src/forward/metrics-server.ts'
import { plainLog } from '../../src/log/index.ts'
import { it } from '../support/fixtures.ts'
import { openForward } from '../support/forward.ts'
import { healthWhen } from '../support/inherited.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, command, echoServer, type Watched } from '../support/watched.ts'

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Reads the text format strictly, as promtool does: every sample of a type that was told before, counters end in _total. */
function parse(text: string): Sample[] {
  assert.ok(text.endsWith('\n'))
  const types = new Map<string, string>()
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue
    const type = /^# TYPE ([a-z_]+) (counter|gauge)$/.exec(line)
    if (type !== null) {
      types.set(type[1] ?? '', type[2] ?? '')
      continue
    }
    const sample = /^([a-z_]+)\{((?:[a-z_]+="[^"\\\n]*",?)*)\} (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(line)
    assert.ok(sample !== null, `no sample: ${line}`)
    const [, name = '', labels = '', value] = sample
    assert.equal(types.get(name) === 'counter', name.endsWith('_total'), name)
    const pairs = [...labels.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, key, text]) => [key, text])
    samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value) })
  }
  return samples
}

function valueIn(samples: readonly Sample[], name: string, label = ''): number | undefined {
  const full = `port_watchdog_${name}`
  return samples.find(
    (one) => one.name === full && (label === '' || Object.values(one.labels).includes(label)),
  )?.value
}

async function start(watched: Watched, target: number, ...words: string[]) {
  const port = await freePort()
  const place = `127.0.0.1:${await freePort()}`
  const line = [String(port), 'localhost', String(target), '--metrics', place, ...words]
  const forward = watched.start('tcp-proxy', ...line)
  await forward.line(/Metrics are at/)
  const get = (path: string, init?: RequestInit) => fetch(`http://${place}${path}`, init)
  return { port, place, forward, line, get }
}

describe('The metrics server', () => {
  it('goes on after an accept that fails for want of descriptors', async () => {
    const admission = createAdmission([])
    const place = `127.0.0.1:${await freePort()}`
    const forward = await openForward({ host: '127.0.0.1', port: 9 })
    const said: string[] = []
    const log = plainLog((_level, message) => void said.push(message))
    const metrics = serveMetrics(place, {
      health: () => forward.forwarder.health(),
      admission,
      hosts: [],
      log,
    })
    await until('it listens', async () => (said.length > 0 ? true : undefined))
    // Node tells of such an accept by an error event of the server, as it is made here.
    let server: EventEmitter | undefined
    const seen = (message: unknown) => {
      server = (message as { server: EventEmitter }).server
    }
    subscribe('http.server.request.start', seen)
    try {
      assert.equal((await fetch(`http://${place}/livez`)).status, 200)
      server?.emit('error', Object.assign(new Error('accept ENFILE'), { code: 'ENFILE' }))
      // Longer than the pause before it would listen anew.
      await new Promise((resolve) => setTimeout(resolve, 400))
      assert.equal((await fetch(`http://${place}/livez`)).status, 200)
      assert.equal(said.length, 1)
    } finally {
      unsubscribe('http.server.request.start', seen)
      metrics.close()
      forward.close()
    }
  })
})

describe('--metrics', () => {
  it('counts connections, bytes, endings and refusals, and says the same on the control socket', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const { port, get, forward } = await start(watched, echo.port)
    await forward.line(/Target .* answers/)
    for (let count = 0; count < 3; count++) assert.equal(await askThrough(port), 'hello')
    const answer = await get('/metrics')
    assert.equal(answer.status, 200)
    assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
    const samples = parse(await answer.text())
    assert.ok(samples.every(({ labels }) => labels.listen_port === String(port)))
    assert.equal(valueIn(samples, 'connections_accepted_total'), 3)
    assert.equal(valueIn(samples, 'connections_open'), 0)
    assert.equal(valueIn(samples, 'relayed_bytes_total', 'from_client'), 15)
    assert.equal(valueIn(samples, 'connections_ended_total', '--'), 3)
    assert.equal(valueIn(samples, 'connections_refused_total', 'admission'), 0)
    assert.equal(valueIn(samples, 'target_up', `localhost:${echo.port}`), 1)
    assert.equal(valueIn(samples, 'listeners'), 1)

    const socket = watched.file(`tcp_proxy_${port}.sock`)
    const asked = (await askControl(socket, 'metrics')) as Exposition
    assert.equal(valueIn(parse(asked.text), 'connections_accepted_total'), 3)
    await echo.close()
  })

  it('tells ready from live, and draining from both', async ({ watched }) => {
    const targetPort = await freePort()
    const { port, get, forward } = await start(watched, targetPort, '--target-check', '200ms')
    await forward.line(/Waiting for target/)
    const waiting = await get('/healthz')
    assert.equal(waiting.status, 503)
    assert.match(JSON.stringify(await waiting.json()), /its target does not answer.*"state":"waiting"/)
    assert.equal((await get('/readyz')).status, 503)
    assert.equal((await get('/livez')).status, 200)

    const echo = await echoServer(targetPort)
    await until('ready', async () => ((await get('/readyz')).status === 200 ? true : undefined))
    assert.equal((await get('/healthz', { method: 'HEAD' })).status, 200)

    const open = connect({ port, host: '127.0.0.1' })
    await once(open, 'connect')
    await healthWhen(watched, port, ({ connections }) => connections.open === 1)
    process.kill(forward.pid, 'SIGTERM')
    await forward.line(/no more connections are accepted/)
    const draining = await get('/readyz')
    assert.equal(draining.status, 503)
    assert.match(await draining.text(), /it is draining/)
    assert.equal((await get('/livez')).status, 200)
    open.destroy()
    assert.equal(await forward.ended(), 0)
    await echo.close()
  })

  it('refuses what it does not know, and survives whatever is sent to it', async ({ watched }) => {
    const { get, place, forward } = await start(watched, await freePort())
    assert.equal((await get('/')).status, 404)
    assert.equal((await get('/metrics', { method: 'POST', body: 'x' })).status, 405)
    const [host = '', port] = place.split(':')
    const pieces = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(
        'GET ',
        '/metrics',
        ' HTTP/1.1\r\n',
        'Host: x\r\n',
        '\r\n\r\n',
        '\0',
        'Transfer-Encoding: chunked\r\n',
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(pieces, { maxLength: 12 }), async (sent) => {
        const socket = connect(Number(port), host)
        socket.on('error', () => {})
        for (const piece of sent) socket.write(piece)
        socket.end()
        socket.resume()
        await once(socket, 'close')
      }),
      { numRuns: 300 },
    )
    assert.equal((await get('/metrics')).status, 200)
    assert.equal(await forward.stop(), 0)
  })

  it('moves to the forwarder that takes over', async ({ watched }) => {
    const echo = await echoServer()
    const { port, place, line, get } = await start(watched, echo.port)
    const socket = watched.file(`tcp_proxy_${port}.sock`)
    await askThrough(port)
    const run = [...command('tcp-proxy', ...line), '--state-dir', watched.directory]
    await askControl(socket, 'hand-over', { run }, 15_000)
    await until(`the new one at ${place}`, async () => {
      const samples = parse(await (await get('/metrics')).text())
      return valueIn(samples, 'connections_accepted_total') === 0 || undefined
    })
    process.kill(watched.pid(port), 'SIGTERM')
    await echo.close()
  })

  it('takes an address of this machine with a port', () => {
    for (const place of ['127.0.0.1:9090', 'localhost:9090', '[::1]:9090', '0.0.0.0:1']) {
      assert.deepEqual(parseHttpPlace(place), { ok: true, value: place })
    }
    for (const place of ['9090', 'example.org:9090', 'http://127.0.0.1:9090', '127.0.0.1:0', '']) {
      assert.equal(parseHttpPlace(place).ok, false, place)
    }
  })
})
