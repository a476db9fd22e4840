// What the tools answer to a model, whatever the monitor says: how long, in which order, without secrets.

import { describe, expect, it } from 'vitest'
import type { UnitResult } from '../../../src/orders/unit-result.ts'
import type { UnitState } from '../../../src/orders/unit-state.ts'
import { forAgent } from '../../../src/server/mcp/next-call.ts'
import type { OrderRoad } from '../../../src/server/mcp/road.ts'
import { callTool, offeredTools } from '../../../src/server/mcp/tools.ts'
import { Traffic } from '../../../src/server/mcp/traffic.ts'

const state: UnitState = {
  name: 'web',
  kind: 'program',
  port: 5173,
  target: null,
  command: 'node server.js',
  state: 'healthy',
  phase: 'running',
  reason: null,
  pid: 4250,
  runningForMs: 11_220_000,
  nextTryInMs: null,
  targetState: null,
  openConnections: null,
  restarts: 1,
  failures: 0,
  stopped: null,
  portHeldBy: null,
}

/** A monitor that answers so to each order, and what it was asked. */
function roadOf(answers: Readonly<Record<string, (input: Readonly<Record<string, unknown>>) => unknown>>) {
  const asked: string[] = []
  const road: OrderRoad = {
    give: async (order, input) => {
      asked.push(order)
      const output = answers[order]?.(input)
      if (output !== undefined) return { done: true, output }
      return {
        done: false,
        error: { code: 'unknown-order', message: `there is no order "${order}"`, next: null },
      }
    },
    follow: () => () => {},
    allows: () => true,
  }
  return { road, asked }
}

const signal = new AbortController().signal

async function said(road: OrderRoad, name: string, given: Readonly<Record<string, unknown>> = {}) {
  const { content, structuredContent = {}, isError = false } = await callTool(name, given, road, { signal })
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asks for
  return { text: content[0]?.text ?? '', structured: structuredContent as any, isError }
}

describe('An answer', () => {
  it('about many units is bounded, and its cursor leads to all of them', async () => {
    const units = Array.from({ length: 500 }, (_, index) => ({ ...state, name: `program-number-${index}` }))
    const { road } = roadOf({ list: () => ({ units }) })
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const { text, structured } = await said(road, 'process_list', cursor === undefined ? {} : { cursor })
      expect(text.length).toBeLessThan(24_000)
      expect(JSON.stringify(structured).length).toBeLessThan(24_200)
      seen.push(...structured.units.map(({ name }: { name: string }) => name))
      expect(structured.leftOut).toBe(500 - seen.length)
      if (structured.leftOut > 0) expect(text).toContain(`call again with cursor "${seen.length}"]`)
      cursor = structured.nextCursor
    } while (cursor !== undefined)
    expect(seen).toEqual(units.map(({ name }) => name))
  })

  it('tells first what failed', async () => {
    const error = {
      code: 'flapping',
      message: 'api dies again and again: exited with 1',
      next: 'proxy-log --why api',
      nextOrder: { order: 'status', units: ['api'] },
    } as const
    const well: UnitResult = { outcome: 'done', error: null, remembered: true, state }
    const failed: UnitResult = {
      ...well,
      outcome: 'failed',
      error,
      state: { ...state, name: 'api', state: 'flapping', phase: 'flapping' },
    }
    const { road } = roadOf({
      restart: () => ({ units: [...Array.from({ length: 300 }, () => well), failed] }),
    })
    const { text, structured } = await said(road, 'process_restart', { units: ['web', 'api'] })
    expect(text).toMatch(
      /^failed: flapping: api dies again and again: exited with 1\. Next: get_status \{"units":\["api"\]\}\nnow: api \(program\) flapping/,
    )
    expect(text).toMatch(/\[\d+ units left out\]$/)
    const { nextOrder: _, ...told } = error
    expect(structured.results[0].error).toEqual({ ...told, next: 'get_status {"units":["api"]}' })
    expect(text.length).toBeLessThan(24_000)
  })

  it('about a program that is wrong has its last lines, the errors before them, and little of their traces', async () => {
    const line = (seq: number, text: string, kind: string | null = null) => ({
      seq,
      stream: 'stdout',
      class: kind,
      text,
    })
    const program = {
      name: 'api',
      state: 'backoff',
      reason: 'exited with 1',
      command: 'node api.js',
      port: 4000,
      restarts: 3,
    }
    const nothing = { failingForMs: 4000, advice: null, pid: null, uptimeMs: null }
    const report = {
      monitor: { state: 'RUNNING', reason: null, pid: 1, uptimeMs: 1000 },
      summary: { healthy: 0, down: 1 },
      forwards: [],
      programs: [{ ...program, ...nothing }],
      details: [],
      next: ['proxy-ctl logs api'],
      steps: [{ text: 'proxy-ctl logs api', order: 'logs', units: ['api'] }],
    }
    const { road } = roadOf({
      status: () => report,
      logs: ({ class: kind }) => ({
        lines:
          kind === undefined
            ? [
                line(90, 'noise'),
                line(91, 'TypeError: no user', 'error'),
                ...[92, 93, 94].map((seq) => ({
                  ...line(seq, `    at f (${seq})`, 'error'),
                  continues: true,
                })),
                line(95, 'more'),
              ]
            : [line(7, "Cannot find module 'express'", 'error')],
      }),
    })
    const { text, structured } = await said(road, 'get_status')
    expect(text.split('\n')).toEqual([
      'watchdog RUNNING; units: 1 down',
      'api (program) backoff: exited with 1, for 4 s, restarts 3, port 4000',
      "  log: error: Cannot find module 'express'",
      '  log: …',
      '  log: noise',
      '  log: error: TypeError: no user',
      '  log: error:     at f (92)',
      '  log: more',
      'next: get_logs {"units":["api"]}',
    ])
    expect(structured.units[0]).toMatchObject({ name: 'api', kind: 'program', command: 'node api.js' })
    // A monitor without the order still answers.
    expect((await said(roadOf({ status: () => report }).road, 'get_status')).isError).toBe(false)
  })

  it('holds no secret, in words or in fields', async () => {
    const reason = 'cannot reach https://alice:hunter2hunter2@db.example/?token=0123456789abcdef'
    const { road } = roadOf({ list: () => ({ units: [{ ...state, phase: 'backoff', reason }] }) })
    const { text, structured } = await said(road, 'process_list')
    for (const one of [text, JSON.stringify(structured)]) {
      expect(one).toContain('[redacted]')
      expect(one).not.toMatch(/hunter2|0123456789abcdef/)
    }
  })
})

describe('The next step', () => {
  it('is a call, also of what a tool for several orders does', () => {
    const next = (order: string) => {
      const error = {
        code: 'detached' as const,
        message: 'm',
        next: 'x',
        nextOrder: { order, units: ['web'] },
      }
      const answer = forAgent({ done: false, error })
      return 'error' in answer ? answer.error.next : undefined
    }
    expect(next('logs')).toBe('get_logs {"units":["web"]}')
    expect(next('end')).toBe('process_control {"action":"end","units":["web"]}')
    expect(next('adopt')).toBe('process_control {"action":"adopt","units":["web"]}')
    expect(next('drain'), 'no tool gives it').toBe('x')
  })
})

describe('The tools', () => {
  it('have names that every client takes, and a description of few tokens', () => {
    const tools = offeredTools(roadOf({}).road)
    for (const { name, description } of tools) {
      expect(name).toMatch(/^[a-z_]{1,40}$/)
      expect(description.length).toBeLessThan(400)
    }
    // What every conversation pays for, at 3 characters for a token: clients keep output schemas to themselves.
    const paid = tools.map(({ outputSchema: _, ...rest }) => rest)
    expect(JSON.stringify(paid).length).toBeLessThan(20_000)
  })

  it('ask nothing of the monitor when they are called wrong', async () => {
    const { road, asked } = roadOf({})
    expect((await said(road, 'process_start', { units: [] })).text).toMatch(
      /^invalid-input: process_start: units: /,
    )
    expect((await said(road, 'process_start', { unit: ['web'] })).text).toMatch(
      /^invalid-input: process_start: unknown key "unit" \(did you mean units\?\)/,
    )
    expect((await said(road, 'process_control', { units: ['web'], action: 'kill' })).isError).toBe(true)
    expect(asked).toEqual([])
  })
})

describe('Traffic', () => {
  it('counts by tool and client, and keeps no more names than it can', () => {
    const traffic = new Traffic()
    for (let ms = 1; ms <= 100; ms++) traffic.count('get_logs', `client ${ms * 2}`, ms, ms % 10 === 0)
    traffic.count('get_logs', 'client 2', 1, false)
    traffic.count('get_logs', 'one too many', 1, false)
    const { tools, clients } = traffic.report()
    expect(tools).toEqual([{ name: 'get_logs', calls: 102, errors: 10, p99Ms: 99 }])
    expect(clients).toHaveLength(101)
    expect(clients.at(-1)).toMatchObject({ name: 'others', calls: 1 })
  })
})
