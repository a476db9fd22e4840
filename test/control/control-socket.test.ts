import assert from 'node:assert/strict'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, it } from 'vitest'
import { askControl, connectControl } from '../../src/control/client.ts'
import {
  ControlRefusal,
  lineSplitter,
  longestLine,
  parseAnswer,
  parseRequest,
} from '../../src/control/protocol.ts'
import {
  type CommandHandlers,
  ControlSocketHeld,
  holdControlSocket,
  type ControlServer as Server,
} from '../../src/control/server.ts'

const handlers: CommandHandlers = {
  identify: () => ({ name: 'the holder' }),
  add: ({ a, b }) => Number(a) + Number(b),
  fail: () => {
    throw new Error('not today')
  },
  refuse: () => {
    throw new ControlRefusal('starting', 'it is only starting', 'try again')
  },
  later: () => new Promise((resolve) => setImmediate(resolve, 'done')),
  never: () => new Promise(() => {}),
}

async function withSocket(use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'pw-control-'))
  const path = join(folder, 'c.sock')
  const server = await holdControlSocket(path, handlers)
  try {
    await use(path)
  } finally {
    server.close()
    rmSync(folder, { recursive: true })
  }
}

/** Sends bytes and gives what comes back until the other side, or we after one answer, end it. */
function send(path: string, bytes: Uint8Array | string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path)
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
      if (answer.includes('\n')) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
    socket.end(bytes)
  })
}

describe('The control socket', () => {
  it('answers commands, one line each, in any number on one connection', () =>
    withSocket(async (path) => {
      const client = await connectControl(path)
      const sums = Array.from({ length: 100 }, (_, i) => client.request('add', { a: i, b: 1 }))
      assert.deepEqual(
        await Promise.all(sums),
        sums.map((_, i) => i + 1),
      )
      assert.equal(await client.request('later'), 'done')
      await assert.rejects(client.request('fail'), { code: 'failed', message: 'not today' })
      const unknown = /unknown command dance; known are identify, add/
      await assert.rejects(client.request('dance'), { code: 'unknown-command', message: unknown })
      await assert.rejects(client.request('refuse'), {
        code: 'starting',
        message: 'it is only starting; try again',
        sentence: 'it is only starting',
        next: 'try again',
      })
      await assert.rejects(client.request('toString'), /unknown command/)
      await assert.rejects(client.request('never', {}, 20), { code: 'ETIMEDOUT' })
      client.close()
      await client.closed
    }))

  it('says what is wrong with a request: code, sentence and next step', () =>
    withSocket(async (path) => {
      assert.deepEqual(JSON.parse(await send(path, '{"id":7,"command":"refuse"}\n')), {
        id: 7,
        ok: false,
        code: 'starting',
        error: 'it is only starting',
        next: 'try again',
      })
      assert.equal(JSON.parse(await send(path, '[]\n')).code, 'malformed-request')
    }))

  it('understands the answers of the first versions, which have no code, and codes of a version to come', () => {
    const codeIn = (error: string, code?: string) => {
      const answer = parseAnswer(JSON.stringify({ id: 1, ok: false, error, code }))
      return answer !== undefined && 'ok' in answer && !answer.ok ? answer.code : undefined
    }
    assert.equal(codeIn('unknown command hand-over; known are identify, health'), 'unknown-command')
    assert.equal(codeIn('a replacement is being started already'), 'replacement-under-way')
    assert.equal(codeIn('this forwarder is ending'), 'ending')
    assert.equal(codeIn('kill needs the number of a connection'), 'failed')
    assert.equal(codeIn('unknown command dance', 'failed'), 'failed', 'a code counts before its sentence')
    assert.equal(codeIn('something new', 'not-yet-thought-of'), 'failed')
  })

  it('tells a second holder who has it', () =>
    withSocket(async (path) => {
      await assert.rejects(holdControlSocket(path, {}), (error) => {
        assert.ok(error instanceof ControlSocketHeld)
        assert.deepEqual(error.holder, { name: 'the holder' })
        return true
      })
      assert.deepEqual(await askControl(path, 'identify'), { name: 'the holder' })
    }))

  it('lives through whatever is sent to it', () =>
    withSocket(async (path) => {
      const line = fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.string({ maxLength: 300 }),
        fc.json().map((text) => `${text}\n`),
        fc
          .record({ id: fc.anything(), command: fc.constantFrom('add', '__proto__', 'identify', '') })
          .map((request) => {
            try {
              return `${JSON.stringify(request)}\n`
            } catch {
              return '\n'
            }
          }),
      )
      await fc.assert(
        fc.asyncProperty(line, async (bytes) => {
          await send(path, bytes)
        }),
        { numRuns: 300 },
      )
      assert.match(await send(path, 'nonsense\n'), /a request is one JSON object/)
      assert.equal(await askControl(path, 'add', { a: 1, b: 2 }), 3)
    }))

  it('ends a connection whose line never ends', () =>
    withSocket(async (path) => {
      assert.equal(await send(path, Buffer.alloc(longestLine + 2, 'a')), '')
      assert.equal(await askControl(path, 'add', { a: 1, b: 2 }), 3)
    }))

  it('answers a client that has sent its FIN already, also what takes a while', () =>
    withSocket(async (path) => {
      const text = await new Promise<string>((resolve, reject) => {
        const socket = connect({ path, allowHalfOpen: true })
        let all = ''
        socket.on('data', (chunk) => {
          all += chunk
        })
        socket.on('error', reject)
        socket.on('end', () => {
          socket.end()
          resolve(all)
        })
        socket.end('{"id":1,"command":"later"}\n{"id":2,"command":"add","a":1,"b":2}\n')
      })
      const answers = text.trim().split('\n').map(parseAnswer)
      assert.deepEqual(
        answers.sort((one, other) => (one?.id ?? 0) - (other?.id ?? 0)),
        [
          { id: 1, ok: true, result: 'done' },
          { id: 2, ok: true, result: 3 },
        ],
      )
    }))

  it('can be opened by its owner only, whatever the umask', () => {
    const umask = process.umask(0)
    return withSocket(async (path) => {
      assert.equal(process.umask(), 0, 'the umask of the process is as it was')
      assert.equal(statSync(path).mode & 0o777, 0o600)
    }).finally(() => process.umask(umask))
  })

  it('gives its own client a list of 50,000 connections, and nothing else so long', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pw-control-'))
    const path = join(folder, 'c.sock')
    const list = Array.from({ length: 50_000 }, (_, id) => ({ id, source: '192.0.2.7:40000', ageMs: 12_345 }))
    const server = await holdControlSocket(path, { connections: () => list, health: () => list })
    try {
      assert.deepEqual(await askControl(path, 'connections', {}, 30_000), list)
      await assert.rejects(askControl(path, 'health', {}, 30_000), /was closed/)
    } finally {
      server.close()
      rmSync(folder, { recursive: true })
    }
  })

  it('gives the same lines however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1 }).filter((s) => !/[\n]/.test(s))),
        fc.infiniteStream(fc.nat(9)),
        (lines, cuts) => {
          const bytes = Buffer.from(lines.map((one) => `${one}\n`).join(''))
          const seen: string[] = []
          const feed = lineSplitter((one) => seen.push(one))
          for (let at = 0; at < bytes.length; ) {
            const length = 1 + (cuts.next().value ?? 0)
            assert.ok(feed(bytes.subarray(at, at + length)))
            at += length
          }
          assert.deepEqual(seen, lines)
        },
      ),
    )
  })

  it('parses anything without throwing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        parseRequest(text)
        parseAnswer(text)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('A control socket in whose way something is', () => {
  const inFolder = async (use: (path: string) => Promise<void>) => {
    const folder = mkdtempSync(join(tmpdir(), 'pw-control-'))
    try {
      await use(join(folder, 'c.sock'))
    } finally {
      rmSync(folder, { recursive: true })
    }
  }

  it('is taken over although the claim on it is from the future, as after a clock that was set back', () =>
    inFolder(async (path) => {
      writeFileSync(path, '')
      writeFileSync(`${path}.claim`, '')
      const tomorrow = Date.now() / 1000 + 86_400
      utimesSync(`${path}.claim`, tomorrow, tomorrow)
      const server = await holdControlSocket(path, handlers)
      server.close()
    }))

  it('is refused, not tried for ever, when that cannot be removed', () =>
    inFolder(async (path) => {
      mkdirSync(path)
      await assert.rejects(holdControlSocket(path, handlers), /is in the way and cannot be removed/)
    }))
})

it('Whoever asks without reading the answers is not heard until it reads', () =>
  new Promise<void>((resolve, reject) => {
    const folder = mkdtempSync(join(tmpdir(), 'pw-control-'))
    const path = join(folder, 'c.sock')
    let asked = 0
    const long = 'x'.repeat(10_000)
    const count = () => {
      asked++
      return long
    }
    holdControlSocket(path, { count }).then((server) => {
      const socket = connect(path).on('error', () => {})
      socket.pause()
      socket.write('{"id":1,"command":"count"}\n'.repeat(50_000))
      setTimeout(() => {
        socket.destroy()
        server.close()
        rmSync(folder, { recursive: true })
        if (asked < 20_000) resolve()
        else reject(new Error(`${asked} answers were made for somebody who reads none`))
      }, 1500)
    }, reject)
  }))

describe('A control socket whose name is gone', () => {
  const held = async (use: (path: string, server: Server, folder: string) => Promise<void>) => {
    const folder = mkdtempSync(join(tmpdir(), 'pw-control-'))
    const path = join(folder, 'c.sock')
    const server = await holdControlSocket(path, handlers)
    try {
      await use(path, server, folder)
    } finally {
      server.close()
      chmodSync(folder, 0o700)
      rmSync(folder, { recursive: true })
    }
  }

  it('is held again, and a connection from before goes on', () =>
    held(async (path, server) => {
      const client = await connectControl(path)
      unlinkSync(path)
      assert.equal(server.isHeld(), false)
      await server.holdAgain()
      assert.equal(server.isHeld(), true)
      assert.equal(await askControl(path, 'add', { a: 1, b: 2 }), 3)
      assert.equal(await client.request('add', { a: 2, b: 2 }), 4)
      client.close()
    }))

  it('is left to a living process that has the name now', () =>
    held(async (path, server) => {
      renameSync(path, `${path}.aside`)
      const other = await holdControlSocket(path, { identify: () => 'the other' })
      await assert.rejects(server.holdAgain(), (error) => {
        assert.ok(error instanceof ControlSocketHeld)
        assert.equal(error.holder, 'the other')
        return true
      })
      server.close()
      assert.equal(await askControl(path, 'identify'), 'the other', 'closing it took the name of the other')
      other.close()
    }))

  it('is not left behind when it was closed while it was being taken again', () =>
    held(async (path, server) => {
      unlinkSync(path)
      const again = server.holdAgain()
      server.close()
      await again
      await assert.rejects(askControl(path, 'identify'), { code: 'ENOENT' })
    }))
})

it('A control socket works in a directory whose path is longer than a socket’s may be', async () => {
  const top = mkdtempSync(join(tmpdir(), 'pw-control-'))
  const folder = join(top, 'a'.repeat(100), 'b'.repeat(100))
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'c.sock')
  const server = await holdControlSocket(path, handlers)
  try {
    assert.ok(statSync(path).isSocket())
    assert.equal(await askControl(path, 'add', { a: 1, b: 2 }), 3)
    await assert.rejects(holdControlSocket(path, {}), ControlSocketHeld)
    unlinkSync(path)
    await server.holdAgain()
    assert.equal(await askControl(path, 'add', { a: 1, b: 2 }), 3)
  } finally {
    server.close()
    rmSync(top, { recursive: true })
  }
  await assert.rejects(askControl(path, 'add'), { code: 'ENOENT' })
})
