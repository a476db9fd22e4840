import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { optionList, optionWords, parserOf, withDefaults } from '../../src/config/option-table.ts'
import {
  type Parsed,
  parseBindAddress,
  parseCount,
  parseDuration,
  parseHost,
  parseHostAndPort,
  parseMode,
  parseNetwork,
  parseOutput,
  parsePort,
  parseServer,
  parseSocketPath,
  parseTarget,
  parseTargetHost,
} from '../../src/config/values.ts'
import { askControl } from '../../src/control/client.ts'
import {
  ControlRefusal,
  lineSplitter,
  longestLine,
  parseAnswer,
  parseRequest,
} from '../../src/control/protocol.ts'
import { openTarget, type Target } from '../support/forward.ts'
import { type ForwarderProcess, startTcpProxy } from '../support/forwarder-process.ts'

describe('the control socket', () => {
  let target: Target
  let forwarder: ForwarderProcess
  beforeAll(async () => {
    target = await openTarget()
    forwarder = await startTcpProxy(`127.0.0.1 ${target.port}`)
  })
  afterAll(async () => {
    await forwarder.close()
    await target.close()
  })

  /** Sends bytes, hangs up, and hears what comes. */
  async function say(chunks: readonly Uint8Array[]): Promise<string> {
    const socket = net.connect({ path: forwarder.control, allowHalfOpen: true })
    socket.on('error', () => {})
    let heard = ''
    socket.on('data', (chunk) => {
      heard += chunk.toString()
    })
    for (const chunk of chunks) socket.write(chunk)
    socket.end()
    await new Promise((resolve) => socket.once('close', resolve))
    return heard
  }

  const stillWell = async () => {
    assert.equal(forwarder.child.exitCode, null)
    await forwarder.health()
  }

  it('survives any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), async (chunks) => {
        await say(chunks)
      }),
      { numRuns: 100 },
    )
    await stillWell()
  })

  it('answers any JSON line with a line of JSON', async () => {
    const word = fc.oneof(
      fc.constantFrom('health', 'identify', 'connections', 'kill', 'expect-probe', '__proto__', 'toString'),
      fc.string(),
    )
    const request = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          id: fc.oneof(fc.double(), fc.jsonValue()),
          command: word,
          port: fc.jsonValue(),
          source: fc.jsonValue(),
          connection: fc.jsonValue(),
        },
        { requiredKeys: [] },
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 5 }), async (requests) => {
        const heard = await say([Buffer.from(requests.map((each) => `${JSON.stringify(each)}\n`).join(''))])
        const answers = heard.trimEnd().split('\n')
        assert.equal(answers.length, requests.length)
        for (const answer of answers) assert.notEqual(parseAnswer(answer), undefined, answer)
      }),
      { numRuns: 200 },
    )
    await stillWell()
  })

  it('hangs up on a line without an end', async () => {
    const socket = net.connect(forwarder.control)
    const errors: unknown[] = []
    socket.on('error', (error) => errors.push(error))
    const piece = Buffer.alloc(64 * 1024, 'x')
    const flood = () => {
      while (!socket.destroyed && socket.write(piece));
    }
    socket.on('drain', flood)
    socket.once('connect', flood)
    await new Promise((resolve) => socket.once('close', resolve))
    await stillWell()
  })

  it('lists connections and kills one by its number', async () => {
    const client = net.connect(forwarder.port, '127.0.0.1')
    client.on('error', () => {})
    await once(client, 'connect')
    await target.connections.count(1)
    const list = (await askControl(forwarder.control, 'connections')) as { id: number }[]
    assert.equal(list.length, 1)
    const [{ id } = { id: 0 }] = list
    await assert.rejects(askControl(forwarder.control, 'kill', {}), /kill needs/)
    await assert.rejects(askControl(forwarder.control, 'kill', { connection: id, source: 'x' }), /kill needs/)
    assert.deepEqual(await askControl(forwarder.control, 'kill', { connection: id }), { killed: 1 })
    assert.deepEqual(await askControl(forwarder.control, 'kill', { connection: id }), { killed: 0 })
    const record = await forwarder.records.find(({ code }) => code === 'KD')
    assert.equal(record.id, id)
  })
})

describe('the control protocol’s parsers', () => {
  it('cut lines alike however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.nat(20)), (text, cuts) => {
        const whole: string[] = []
        lineSplitter((line) => whole.push(line))(Buffer.from(`${text}\n`))
        const pieces: string[] = []
        const feed = lineSplitter((line) => pieces.push(line))
        let rest = Buffer.from(`${text}\n`)
        for (const cut of cuts) {
          assert.equal(feed(rest.subarray(0, cut)), true)
          rest = rest.subarray(cut)
        }
        feed(rest)
        assert.deepEqual(pieces, whole)
      }),
    )
  })

  it('never throw, and name what is missing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        const request = parseRequest(line)
        assert.ok(
          request instanceof ControlRefusal
            ? request.message.length > 0
            : typeof request.command === 'string',
        )
        parseAnswer(line)
      }),
    )
    assert.equal(lineSplitter(() => {})(Buffer.alloc(longestLine + 1)), false)
  })
})

describe('the parsers of values', () => {
  const parsers: readonly ((text: string) => Parsed<unknown>)[] = [
    parseBindAddress,
    parseCount,
    parseDuration,
    parseHost,
    parseHostAndPort,
    parseMode,
    parseNetwork,
    parseOutput,
    parsePort,
    parseServer,
    parseSocketPath,
    parseTarget,
    parseTargetHost,
    ...optionList.flatMap(({ specification }) =>
      specification.kind === 'flag' ? [] : [parserOf(specification)],
    ),
  ]
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.stringMatching(/^[0-9a-f.:[\]/%-]{0,40}$/),
    fc.webUrl(),
    fc.ipV6().map((address) => `[${address}]:1`),
    fc.stringMatching(/^unix:\/?[a-z/]{0,120}$/),
  )

  it('say yes, or one line of what is wrong, whatever they are given', () => {
    for (const parse of parsers) {
      fc.assert(
        fc.property(text, (given) => {
          const parsed = parse(given)
          assert.ok(parsed.ok || parsed.problem.length > 0)
        }),
      )
    }
  })

  it('take what they gave', () => {
    for (const parse of [
      parseBindAddress,
      parseHost,
      parseMode,
      parseNetwork,
      parseServer,
      parseTargetHost,
    ]) {
      fc.assert(
        fc.property(fc.oneof(text, fc.ipV4(), fc.ipV6(), fc.domain()), (given) => {
          const once = parse(given)
          if (once.ok) assert.deepEqual(parse(String(once.value)), once)
        }),
      )
    }
  })

  it('read Unix sockets and DNS servers', () => {
    assert.deepEqual(parseTarget('unix:/run/a.sock'), {
      ok: true,
      value: { host: 'unix:/run/a.sock', port: 0 },
    })
    for (const wrong of ['unix:', 'unix:a.sock', 'unix:/run/', `unix:/${'x'.repeat(200)}`]) {
      assert.equal(parseTarget(wrong).ok, false, wrong)
    }
    assert.deepEqual(parseServer('fd00::2'), { ok: true, value: '[fd00::2]:53' })
    assert.deepEqual(parseServer('10.0.0.2:8600'), { ok: true, value: '10.0.0.2:8600' })
    assert.equal(parseServer('dns.example').ok, false)
  })

  it('give words that give the same options again', () => {
    const options = withDefaults(
      { listenPort: 1, targetHost: 'unix:/run/a.sock', targetPort: 0 },
      { target: ['b:2', 'unix:/c'], accessLog: '-', listenUnix: ['/d'], maxLife: 5 },
    )
    const words = optionWords(options)
    assert.deepEqual(words.slice(0, 5), ['1', 'unix:/run/a.sock', '--target', 'b:2', 'unix:/c'])
    assert.ok(words.includes('--access-log') && words.includes('--listen-unix'))
    assert.equal(optionWords({ ...options, accessLog: '' }).includes('--access-log'), false)
  })
})
