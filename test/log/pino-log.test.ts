import { readFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Level } from '../../src/log/index.ts'
import { LineLog } from '../../src/log/line-log.ts'
import { pinoLog } from '../../src/log/pino-log.ts'
import { redactor } from '../../src/log/redaction.ts'
import { RingLog, readRing } from '../../src/log/ring-log.ts'
import { temporaryDirectory } from '../support/children.ts'

/** A log with files of its own. */
function logIn(directory: string, secrets: readonly string[] = [], level: Level = 'info') {
  const [file, ringFile] = [path.join(directory, 'proxy_monitor.log'), path.join(directory, 'ring.jsonl')]
  const echoed: string[] = []
  const log = pinoLog({
    lines: new LineLog(file),
    ring: new RingLog(ringFile),
    echo: (line) => echoed.push(line),
    redact: redactor(secrets),
    level,
  })
  const text = () => readFileSync(file, 'utf8')
  const ring = () =>
    readFileSync(ringFile, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { log, text, ring, ringFile, echoed }
}

describe('pinoLog', () => {
  beforeEach(() => {
    vi.stubEnv('TZ', 'Europe/Berlin')
    vi.useFakeTimers({ now: new Date('2026-11-21T00:47:16.482Z'), toFake: ['Date'] })
  })
  afterEach(() => {
    vi.useRealTimers()
    vi.unstubAllEnvs()
  })

  it('writes what operators know, and the same to standard output', async (t) => {
    const { log, text, echoed } = logIn(temporaryDirectory(t))
    const web = log.child({ unit: 'web', pid: 4242, generation: 3 })
    log.info({ good: true }, 'Monitor started (PID: 4200), watching 6274')
    web.info('web is stopped: ordered 100% by %s')
    web.warn('a message\nof two lines, with an escape \u001b[2J in it')
    web.error({ err: new Error('broken') }, 'web has died')
    log.fatal('The monitor crashed: broken')
    log.debug('nobody reads this')
    await expect(text()).toMatchFileSnapshot('../golden/log/people.log')
    expect(`${echoed.join('\n')}\n`).toBe(text())
  })

  it('writes a line of JSON for programs: time, level, message and fields', async (t) => {
    const { log, ring } = logIn(temporaryDirectory(t))
    log.info({ good: true }, 'Monitor started')
    log.child({ unit: 'web', pid: 4242, generation: 3 }).warn({ waitMs: 500 }, 'waits')
    log.child({ component: 'alerts' }).fatal('ends')
    const ts = '2026-11-21T00:47:16.482Z'
    expect(ring()).toEqual([
      { sequence: 1, ts, level: 'info', message: 'Monitor started', good: true },
      {
        sequence: 2,
        ts,
        level: 'warn',
        message: 'waits',
        unit: 'web',
        pid: 4242,
        generation: 3,
        waitMs: 500,
      },
      { sequence: 3, ts, level: 'fatal', message: 'ends', component: 'alerts' },
    ])
  })

  it('is read back as entries, whatever the level', (t) => {
    const { log, ringFile } = logIn(temporaryDirectory(t), [], 'trace')
    const web = log.child({ unit: 'web' })
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) web[level](level)
    log.child({ component: 'alerts' }).info({ good: true }, 'delivers again')
    log.info('of the monitor itself')
    const entries = readRing(ringFile).map(({ level, source, message, good }) => [
      level,
      source,
      message,
      good,
    ])
    expect(entries).toEqual([
      ['info', 'web', 'trace', false],
      ['info', 'web', 'debug', false],
      ['info', 'web', 'info', false],
      ['warn', 'web', 'warn', false],
      ['error', 'web', 'error', false],
      ['error', 'web', 'fatal', false],
      ['info', 'alerts', 'delivers again', true],
      ['info', 'monitor', 'of the monitor itself', false],
    ])
  })

  it('gives programs the type, code, stack and cause of an error', (t) => {
    const { log, ring } = logIn(temporaryDirectory(t))
    const cause = Object.assign(new Error('no room'), { code: 'ENOSPC' })
    log.error({ err: new TypeError('cannot save', { cause }) }, 'Cannot save')
    const [line] = ring()
    expect(line?.err).toMatchObject({
      type: 'TypeError',
      message: expect.stringContaining('cannot save: no room'),
    })
    expect(JSON.stringify(line?.err)).toContain('pino-log.test')
  })

  it('takes secrets out of texts, fields, children and errors', (t) => {
    const hook = 'https://hooks.example.com/services/T01234567/B01234567/abcdefghijklmnop'
    const gateToken = 'gV3s-9dQx"7Kd_Lm2\\pQ0'
    const planted = ['abcdefghijklmnop', 'hunter2', gateToken, 'eyJhbGciOiJIUzI1NiJ9', 's3cr3t', 'k3y']
    const { log, text, ring, echoed } = logIn(temporaryDirectory(t), [hook, gateToken])
    const child = log.child({ unit: 'web', authorization: 'Bearer eyJhbGciOiJIUzI1NiJ9' })
    child.warn(`POST ${hook} failed: 404 for /services/T01234567/B01234567/abcdefghijklmnop`)
    child.warn('cannot reach https://admin:hunter2@example.com/ or postgres://a:hunter2@db')
    child.info(
      { token: gateToken, headers: { authorization: 'Basic hunter2', cookie: 's3cr3t' } },
      `it is ${gateToken}`,
    )
    child.info(
      { options: { gate: { secret: 's3cr3t', password: 'hunter2' } } },
      'MCP_PROXY_AUTH_TOKEN=s3cr3t npx',
    )
    child.error(
      { err: new Error(`GET ${hook}: https://u:hunter2@h`) },
      'Authorization: Bearer eyJhbGciOiJIUzI1NiJ9',
    )
    child.info({ url: 'http://localhost:6274/?api_key=k3y&MCP_PROXY_AUTH_TOKEN=s3cr3t#x' }, 'opened')
    const written = [text(), JSON.stringify(ring()), echoed.join('\n')]
    for (const secret of planted) {
      const escaped = JSON.stringify(secret).slice(1, -1)
      for (const place of written) {
        expect(place).not.toContain(secret)
        expect(place).not.toContain(escaped)
      }
    }
    expect(text()).toContain('cannot reach https://[redacted]@example.com/ or postgres://[redacted]@db')
    expect(JSON.stringify(ring())).toContain(
      'http://localhost:6274/?api_key=[redacted]&MCP_PROXY_AUTH_TOKEN=[redacted]#x',
    )
  })

  it('never throws, whatever a field holds', (t) => {
    const { log, ring } = logIn(temporaryDirectory(t))
    const circle: Record<string, unknown> = { big: 1n, bad: Number.NaN, fine: () => 1 }
    circle.self = circle
    log.info(
      {
        circle,
        nothing: undefined,
        broken: {
          toJSON: () => {
            throw new Error('no')
          },
        },
      },
      'written',
    )
    expect(ring()).toHaveLength(1)
  })
})
