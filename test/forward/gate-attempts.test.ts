// Wrong tokens: they keep nobody out who has the right one, and they leave a trace.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { type GateEvent, gateLine } from '../../src/forward/gate/gate-events.ts'
import { sumHealth } from '../../src/forward/workers/sum-health.ts'
import { Attempts } from '../../src/web/attempts.ts'
import { openForward } from '../support/forward.ts'
import { type GateSettings, type GateUnderTest, listen, startGate } from '../support/gate.ts'

/** Gives tokens from an address of loopback, all in one moment, and tells the statuses. */
function give(gate: GateUnderTest, from: string, ...tokens: string[]): Promise<string[]> {
  return Promise.all(
    tokens.map(
      (token) =>
        new Promise<string>((resolve) => {
          let got = ''
          const socket: Socket = connect({ host: '127.0.0.1', port: gate.port, localAddress: from })
          socket.write(
            `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
          )
          socket
            .on('error', () => {})
            .on('data', (chunk) => {
              got += chunk
            })
          socket.on('close', () => resolve(got.slice(9, 12)))
        }),
    ),
  )
}

async function withGate(
  settings: GateSettings,
  use: (gate: GateUnderTest, events: GateEvent[]) => Promise<void>,
): Promise<void> {
  const target = createServer((_request, response) => response.end('in'))
  const events: GateEvent[] = []
  const gate = await startGate(await listen(target), { ...settings, events })
  try {
    await use(gate, events)
  } finally {
    await gate.close()
    target.closeAllConnections()
    target.close()
  }
}

const wrong = (count: number) => Array<string>(count).fill('wrong')

/** More than the limit over all sources. */
async function lockOut(gate: GateUnderTest): Promise<void> {
  for (let source = 2; source < 16; source++) await give(gate, `127.0.0.${source}`, ...wrong(5))
}

describe('Wrong tokens at a gate', () => {
  it('keep nobody out who brings the token that was made, from a fresh address or the guesser’s own', () =>
    withGate({}, async (gate) => {
      await lockOut(gate)
      assert.deepEqual(await give(gate, '127.0.1.1', 'wrong'), ['429'])
      for (const from of ['127.0.1.2', '127.0.0.2'])
        assert.deepEqual(await give(gate, from, gate.secrets.token), ['200'], from)
    }))

  it('are limited for a short token of one’s own, whoever gives it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'pw-token-'))
    const tokenFile = join(directory, 'token')
    writeFileSync(tokenFile, 'sixteen-letters!', { mode: 0o600 })
    await withGate({ tokenFile }, async (gate) => {
      assert.deepEqual(await give(gate, '127.0.1.3', gate.secrets.token), ['200'])
      await lockOut(gate)
      assert.deepEqual(await give(gate, '127.0.1.2', gate.secrets.token), ['429'])
      assert.deepEqual(await give(gate, '127.0.1.3', gate.secrets.token), ['200'], 'it has been in before')
    })
    rmSync(directory, { recursive: true })
  })

  it('have one line a source and second, with the address and without the token', () =>
    withGate({}, async (gate, events) => {
      await give(gate, '127.0.0.9', ...wrong(12))
      await give(gate, '127.0.0.8', gate.secrets.token)
      const lines = events.map(gateLine).map(({ message }) => message)
      assert.equal(
        lines.filter((line) => line.startsWith('Gate: wrong token from 127.0.0.9')).length,
        1,
        lines.join(),
      )
      assert.doesNotMatch(lines.join(), new RegExp(`${gate.secrets.token}|: wrong$`))
      const { wrongTokens } = gate.gate.health()
      assert.deepEqual(
        [wrongTokens?.lastHour, wrongTokens?.lastTenMinutes, wrongTokens?.lastFrom],
        [12, 12, '127.0.0.9'],
      )
    }))

  it('from many sources get a few lines a second, and the lock-out one', () => {
    let now = 0
    const attempts = new Attempts(() => now)
    const told = () =>
      Array.from({ length: 100 }, (_, index) => attempts.failed(`10.0.0.${index}`)).filter(
        (one) => one !== undefined,
      )
    assert.equal(told().length, 5)
    assert.equal(attempts.isLockOutNews(), true)
    assert.equal(attempts.isLockOutNews(), false)
    now += 1_000
    const [first] = told()
    assert.equal(first, 95, 'what was not told is counted')
  })

  it('are counted over the last hour and the last ten minutes', () => {
    let now = 0
    const attempts = new Attempts(() => now)
    attempts.failed('10.0.0.1')
    now += 30 * 60_000
    attempts.failed('10.0.0.2')
    assert.deepEqual(attempts.counts(), {
      lastHour: 2,
      lastTenMinutes: 1,
      last: { source: '10.0.0.2', ageMs: 0 },
    })
    now += 45 * 60_000
    assert.deepEqual(attempts.counts().lastHour, 1)
    now += 3 * 3_600_000
    assert.deepEqual([attempts.counts().lastHour, attempts.counts().last?.ageMs], [0, 225 * 60_000])
  })

  it('of workers are added up', async () => {
    const forward = await openForward({ host: '127.0.0.1', port: 1 })
    const health = forward.forwarder.health()
    forward.close()
    const withCount = (lastHour: number, lastFrom: string, lastAgeMs: number) => ({
      ...health,
      gate: {
        kind: 'token' as const,
        tokenPlace: 'x',
        logins: 1,
        failedAttempts: lastHour,
        wrongTokens: { lastHour, lastTenMinutes: 1, lastFrom, lastAgeMs },
      },
    })
    const sum = sumHealth(withCount(3, '10.0.0.1', 9), [withCount(4, '10.0.0.2', 5)], [])
    assert.deepEqual(sum.gate?.wrongTokens, {
      lastHour: 7,
      lastTenMinutes: 2,
      lastFrom: '10.0.0.2',
      lastAgeMs: 5,
    })
  })
})

describe('A login at a gate', () => {
  it('is told with the address', () =>
    withGate({}, async (gate, events) => {
      const form = `token=${gate.secrets.token}`
      await new Promise((resolve) => {
        const socket = connect(gate.port, '127.0.0.1')
        socket.write(
          `POST /.port-watchdog/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${form.length}\r\nConnection: close\r\n\r\n${form}`,
        )
        socket.on('close', resolve).resume()
      })
      assert.deepEqual(events.map(gateLine), [
        { level: 'info', message: 'Gate: login from 127.0.0.1', good: true },
      ])
    }))
})
