import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { assert, expect, test } from 'vitest'
import { z } from 'zod'
import { newHealth } from '../../src/alert/channel-records.ts'
import type { ProcessVerdict } from '../../src/process/identity.ts'
import type { InspectorFacts } from '../../src/record/shapes/forwarder-health.ts'
import type { ProgramRecord } from '../../src/record/shapes/runtime-state.ts'
import type { ForwardStatusState } from '../../src/record/shapes/status-report.ts'
import { assess } from '../../src/report/assess.ts'
import type { ProgramFacts, StatusFacts } from '../../src/report/facts.ts'
import { ownPrograms } from '../../src/report/own-programs.ts'
import { renderStatus } from '../../src/report/render.ts'
import { columnsOf } from '../../src/report/text.ts'
import { temporaryDirectory } from '../support/children.ts'
import {
  answeringForward,
  forwardFacts,
  identity,
  monitorFacts,
  now,
  silentForward,
  wellFacts,
  wellForward,
  wellHealth,
  wellRecord,
  wellState,
} from '../support/status-facts.ts'
import { checkout } from '../support/tools.ts'

// The report gives times in the machine's zone; the golden ones were made in this one.
process.env.TZ = 'UTC'

const schema = z.fromJSONSchema(
  JSON.parse(readFileSync(path.join(checkout, 'schema', 'status.schema.json'), 'utf8')),
)

const pid = 4188
const away = {
  target: {
    ...wellHealth.target,
    lastError: '127.0.0.1:6277 refused: nothing listens there',
    lastErrorAgeMs: 5000,
  },
}
const failed = [{ address: '192.0.2.9', port: 6277, error: 'the address is not there' }]

const exposedInspector: InspectorFacts = {
  generation: 2,
  part: 'page',
  version: '2.12.0',
  isHttps: false,
  token: 'handed-out',
  origins: [{ origin: 'http://192.0.2.2:6277', allowed: false }],
}

/** Every state of a forward under a monitor that runs. */
const forwards: Readonly<Record<ForwardStatusState, StatusFacts>> = {
  healthy: wellFacts,
  waiting: forwardFacts(
    answeringForward(
      { target: { ...away.target, state: 'waiting', address: null } },
      { targetMemory: { everAnswered: false, failures: 0, failingSince: null } },
    ),
  ),
  unreachable: forwardFacts(answeringForward({ target: { ...away.target, state: 'unreachable' } })),
  degraded: forwardFacts(answeringForward({ listen: { ...wellHealth.listen, failed } })),
  exposed: forwardFacts(answeringForward({ inspector: exposedInspector })),
  draining: forwardFacts(answeringForward({ draining: true })),
  starting: forwardFacts(silentForward(undefined, { phase: 'starting', reason: 'is not running' })),
  backoff: forwardFacts(
    silentForward(
      { pid, verdict: 'gone' },
      {
        phase: 'backoff',
        reason: 'is not running: PID 4188 was killed by SIGKILL',
        nextTryAt: now + 12_000,
        failures: 2,
        restarts: 4,
      },
    ),
  ),
  flapping: forwardFacts(
    silentForward(undefined, {
      phase: 'flapping',
      reason: 'it exits with code 1',
      nextTryAt: now + 300_000,
      failures: 6,
    }),
  ),
  blocked: forwardFacts(
    silentForward(undefined, { phase: 'blocked', reason: 'the port is taken by PID 990 (node server.js)' }),
  ),
  // Only programs are.
  detached: forwardFacts(
    silentForward(undefined, { phase: 'detached', reason: 'PID 7 is gone and has left PID 8 (node)' }),
  ),
  hung: forwardFacts(silentForward({ pid, verdict: 'alive' }, {}, 'silent')),
  suspended: forwardFacts(silentForward({ pid, verdict: 'stopped' }, {}, 'silent')),
  dead: forwardFacts(silentForward({ pid, verdict: 'gone' })),
  down: forwardFacts({
    ...silentForward(undefined, { phase: 'down' }),
    wantedDown: { since: '2026-11-21T00:55:01.000Z', why: 'maintenance' },
  }),
  unverifiable: forwardFacts(silentForward({ pid, verdict: 'unverifiable' })),
}

/** Every state of the monitor. */
const monitors: Readonly<Record<string, StatusFacts>> = {
  'never-ran': { ...wellFacts, reading: { kind: 'missing' }, writerVerdict: undefined, forwards: [] },
  starting: {
    ...wellFacts,
    reading: { kind: 'missing' },
    writerVerdict: undefined,
    startingMonitor: { pid: 77, version: null, startedAt: null },
    forwards: [],
  },
  ended: monitorFacts(
    { stopped: { at: '2026-11-21T00:59:00.000Z', reason: 'SIGTERM' } },
    { writerVerdict: 'gone' },
  ),
  rebooted: monitorFacts(
    {},
    {
      bootId: 'another-boot',
      writerVerdict: 'reused',
      forwards: [silentForward({ pid, verdict: 'reused' })],
    },
  ),
  died: monitorFacts({ writtenAtMonotonicMs: now - 5000 }, { writerVerdict: 'gone' }),
  suspended: monitorFacts({ writtenAtMonotonicMs: now - 40_000 }, { writerVerdict: 'stopped' }),
  hangs: monitorFacts({ writtenAtMonotonicMs: now - 40_000 }),
  'no-checks': monitorFacts({ lastRoundAt: now - 90_000 }),
  unreadable: {
    ...wellFacts,
    reading: { kind: 'unreadable', why: 'EACCES: permission denied' },
    writerVerdict: undefined,
  },
  corrupt: { ...wellFacts, reading: { kind: 'corrupt', why: 'it is not JSON' }, writerVerdict: undefined },
  newer: { ...wellFacts, reading: { kind: 'newer', schemaVersion: 9 }, writerVerdict: undefined },
  configuration: monitorFacts({
    configurationProblem: {
      since: '2026-11-21T00:58:00.000Z',
      reason: 'forwards.0.listen: "x" is not a port',
    },
  }),
  records: monitorFacts({
    recordsProblem: { since: '2026-11-21T00:58:00.000Z', reason: 'ENOSPC: no space left on device, write' },
  }),
}

/** It uses more than it may: degraded, with figure and limit. */
const overLimit = forwardFacts(
  answeringForward(
    {},
    {
      usage: { pid, processes: 3, memoryBytes: 300 * 1024 ** 2, cpuPercent: 12.5 },
      limits: {
        memory: { limit: 256 * 1024 ** 2, exceededSince: now - 305_000 },
        cpu: { limit: 50, exceededSince: null },
        action: 'restart',
        restartNotBefore: now + 60_000,
      },
    },
  ),
  { details: [{ port: 6277, identity: identity(pid), log: [], events: [] }] },
)

const moment = (ageMs: number) => ({
  wallMs: Date.parse(wellFacts.takenAt) - ageMs,
  monotonicMs: now - ageMs,
  bootId: 'this-boot',
})

/** Two incidents: one that everybody knows of, and one that has not got through to everybody. */
const incidents: StatusFacts = {
  ...(forwards.unreachable ?? wellFacts),
  openIncidents: (['target', 'memory'] as const).map((subject, i) => ({
    incident: {
      id: `3f2a91c0-${i + 1}`,
      unit: 'forward-6277',
      forward: 'inspector-proxy',
      port: 6277,
      subject,
      title: '',
      message:
        subject === 'target'
          ? 'Target localhost:6277 of inspector-proxy does not answer: refused (failure #3); the forwarder works, the target must be started'
          : 'inspector-proxy uses 300 MiB of memory, more than its limit of 256 MiB (3 samples in a row)',
      since: moment(305_000),
      openedAt: moment(285_000),
      flapping: subject === 'memory',
      wellSince: null,
      toldAt: moment(285_000),
      reminders: 0,
      changes: 1,
      restartsBefore: 0,
      restarts: 0,
    },
    channels: [
      { name: 'slack', state: 'told' },
      { name: 'pager', state: subject === 'target' ? 'told' : 'waiting' },
    ],
  })),
}

const detailed: StatusFacts = {
  ...(forwards.unreachable ?? wellFacts),
  details: [
    {
      port: 6277,
      identity: identity(pid),
      log: [
        {
          time: '2026-11-21T00:59:56.000Z',
          level: 'error',
          source: 'inspector-proxy',
          message: 'Target localhost:6277 no longer answers: refused',
        },
      ],
      events: [
        {
          time: '2026-11-21T00:59:56.100Z',
          monotonicMs: now - 4900,
          bootId: 'this-boot',
          kind: 'target-down',
          name: 'inspector-proxy',
          port: 6277,
          from: 'running',
          to: 'running',
          saw: 'PID 4188 is well, target localhost:6277 does not answer: refused',
          decided: 'leave the forwarder alone',
          because: 'restarting it would not help',
          did: [],
          pid,
          generation: 1,
          failures: 0,
          target: 'silent',
        },
      ],
    },
  ],
}

const gated = forwardFacts(
  answeringForward({
    gate: {
      kind: 'token',
      tokenPlace: '/run/user/1000/port-watchdog/gate_token',
      logins: 3,
      failedAttempts: 1,
    },
  }),
)

const withWorkers = forwardFacts(
  answeringForward({
    workers: {
      wanted: 3,
      lost: 1,
      processes: [
        { number: 0, identity: identity(pid), state: 'serving', open: 1, total: 20 },
        { number: 1, identity: identity(4190), state: 'serving', open: 1, total: 19 },
        { number: 3, identity: identity(4200), state: 'starting', open: 0, total: 0 },
      ],
    },
    warnings: ['2 of 3 processes serve; the others are being started'],
  }),
  { details: [{ port: 6277, identity: identity(pid), log: [], events: [] }] },
)

/** Ten forwards whose target is away, one that is well, and two that wait. */
const many: StatusFacts = {
  ...wellFacts,
  forwards: [
    ...Array.from({ length: 10 }, (_, i) => {
      const target = {
        ...away.target,
        port: 3000 + i,
        state: 'unreachable' as const,
        lastError: `127.0.0.1:${3000 + i} refused: nothing listens there, [::1]:${3000 + i} refused: nothing listens there`,
      }
      const record = {
        name: `app-${i}`,
        port: 8000 + i,
        target: `localhost:${3000 + i}`,
        targetMemory: { everAnswered: true, failures: 4, failingSince: now - 45_000 },
      }
      const listen = {
        ...wellHealth.listen,
        port: 8000 + i,
        addresses: [{ address: '192.0.2.7', port: 8000 + i, origin: 'bound' as const }],
      }
      return { ...answeringForward({ target, listen }, record), port: 8000 + i }
    }),
    {
      ...answeringForward({}, { name: 'inspector', port: 6274, restarts: 1, lastRestartAt: now - 720_000 }),
      port: 6274,
      bytesBefore: { identity: identity(4188), at: now - 10_000, fromClients: 2_345, fromTarget: 278_901 },
    },
    ...['inspector-sandbox', 'inspector-proxy'].map((name, i) => ({
      ...answeringForward(
        { target: { ...away.target, state: 'waiting' as const, address: null } },
        {
          name,
          port: 6275 + 2 * i,
          target: `localhost:${6275 + 2 * i}`,
          targetMemory: { everAnswered: false, failures: 0, failingSince: null },
        },
      ),
      port: 6275 + 2 * i,
    })),
  ],
  openIncidents: (incidents.openIncidents ?? []).slice(0, 1).flatMap((open) =>
    Array.from({ length: 10 }, (_, i) => ({
      ...open,
      incident: { ...open.incident, forward: `app-${i}`, port: 8000 + i },
    })),
  ),
  alertChannels: [],
}

/** Programs alone: one that is well, one whose health fails and is only alerted, one whose output tells why it ends. */
const onlyPrograms: StatusFacts = {
  ...wellFacts,
  forwards: [],
  programFacts: [
    programFacts('web', {}),
    programFacts('api', { unwell: { problem: 'http://127.0.0.1:4000/ does not answer', failures: 3 } }),
    programFacts('worker', {
      phase: 'backoff',
      identity: null,
      reason: 'it ended with exit code 1 before it was ready; it said: Error: boom',
      cause: { code: 'start-failed', isInOutput: true },
      nextTryAt: now + 4000,
      failures: 4,
    }),
  ],
}

function programFacts(name: string, record: Partial<ProgramRecord>): ProgramFacts {
  const { port: _, target: __, health: ___, ...unit } = wellRecord
  const ofProgram = { name, command: `node ${name}.js`, readyPort: 4000, autostart: true, health: null }
  const whole: ProgramRecord = { ...unit, ...ofProgram, ...record }
  const process =
    whole.identity === null ? undefined : ({ identity: whole.identity, verdict: 'alive' } as const)
  return { record: whole, process, wantedDown: undefined }
}

const cases: readonly (readonly [string, StatusFacts])[] = [
  ['many', many],
  ...Object.entries(forwards).map(([name, facts]) => [`forward-${name}`, facts] as const),
  ...Object.entries(monitors).map(([name, facts]) => [`monitor-${name}`, facts] as const),
  ['gated', gated],
  [
    'no-directory',
    {
      ...wellFacts,
      directoryExists: false,
      reading: { kind: 'missing' },
      writerVerdict: undefined,
      forwards: [],
      log: [],
    },
  ],
  [
    'ended-with-forwards',
    { ...(monitors.ended ?? wellFacts), forwards: [silentForward(undefined, { phase: 'down' })] },
  ],
  [
    'monitor-starting-again',
    monitorFacts(
      { stopped: { at: '2026-11-21T00:59:00.000Z', reason: 'SIGTERM' } },
      {
        writerVerdict: 'gone',
        startingMonitor: { pid: 77, version: '0.1.0', startedAt: '2026-11-21T01:00:00.000Z' },
        forwards: [silentForward({ pid, verdict: 'gone' }, { phase: 'down' })],
      },
    ),
  ],
  [
    'first-round',
    monitorFacts(
      {
        lastRoundAt: null,
        lastRound: null,
        writer: { ...wellState.writer, startedAtMonotonicMs: now - 500 },
      },
      { forwards: [silentForward(undefined, { phase: 'unknown' })] },
    ),
  ],
  ['asked-for', detailed],
  ['over-limit', overLimit],
  ['open-incidents', incidents],
  ['slow-round', monitorFacts({ lastRound: { ms: 6200, forwards: 300 } })],
  ['workers', withWorkers],
  ['programs', onlyPrograms],
]

for (const [name, facts] of cases) {
  test(`golden: ${name}, as text and as JSON that satisfies the schema`, async () => {
    const report = assess(facts)
    const json = JSON.parse(JSON.stringify(report)) as unknown
    const checked = schema.safeParse(json)
    expect(checked.success, checked.success ? '' : JSON.stringify(checked.error.issues, null, 1)).toBeTruthy()
    await expect(`${JSON.stringify(report, null, 2)}\n`).toMatchFileSnapshot(`../golden/status/${name}.json`)
    const pictures = [120, 80, 40].map(
      (width) => `--- ${width} columns\n${renderStatus(report, { colour: false, width })}`,
    )
    await expect(pictures.join('\n')).toMatchFileSnapshot(`../golden/status/${name}.txt`)
  })

  test(`nothing is wider than the terminal: ${name}`, () => {
    for (const width of [...Array.from({ length: 130 }, (_, i) => i + 1), 200, 1000]) {
      const text = renderStatus(assess(facts), { colour: false, width })
      const tooWide = text.split('\n').filter((line) => columnsOf(line) > width)
      expect(tooWide, `at ${width} columns`).toStrictEqual([])
    }
  })
}

test('each made-up state is the one it is meant to be', () => {
  for (const [state, facts] of Object.entries(forwards)) expect(assess(facts).forwards[0]?.state).toBe(state)
  for (const [cause, facts] of Object.entries(monitors)) expect(assess(facts).monitor.cause).toBe(cause)
})

test('on a narrow terminal what matters stays, and no time is torn apart', () => {
  const at = (width: number, facts = forwards.unreachable ?? wellFacts) =>
    renderStatus(assess(facts), { colour: false, width })
  expect(at(150)).toMatch(/NAME +STATE +OPEN AT +TARGET +LAST 24 H +OPEN +IN +OUT +RESTARTS/)
  expect(at(80)).toMatch(/NAME +STATE +OPEN AT +OPEN +RESTARTS/)
  expect(at(60)).toMatch(/NAME +STATE +OPEN AT/)
  expect(at(40)).toMatch(/NAME +STATE +PORT\n✗ inspector-proxy +unreachable +6277/)
  expect(at(20)).toMatch(/✗ inspector-proxy\n {2}unreachable\n/)
  for (const width of [40, 60, 80]) {
    expect(at(width, monitors.ended)).toMatch(/ended by SIGTERM at\s+2026-11-21 00:59:00/)
  }
})

test('ten faulty forwards fit on 45 rows of 120 columns, each reason once', () => {
  const text = renderStatus(assess(many), { colour: false, width: 120 })
  expect(text.split('\n').length <= 45, text).toBeTruthy()
  for (let i = 0; i < 10; i++) {
    expect(text.match(new RegExp(`127.0.0.1:${3000 + i} refused`, 'g'))?.length).toBe(1)
    expect(text.match(new RegExp(`start your app on localhost:${3000 + i}`, 'g'))?.length).toBe(1)
  }
  expect(text).toMatch(/1 healthy · 2 waiting · 10 down {3}state: /)
  expect(text).toMatch(/… waiting for an app on localhost:6275 \(inspector-sandbox\), localhost:6277/)
})

test('the columns stand where they stood at the last look, whatever the ages and rates are', () => {
  const header = (age: number, rate: number) => {
    const forward = {
      ...answeringForward({ uptimeMs: age }, { restarts: 1, lastRestartAt: now - age }),
      bytesBefore: { identity: identity(4188), at: now - 1000, fromClients: 12_345 - rate, fromTarget: 0 },
    }
    return renderStatus(assess(forwardFacts(forward)), { colour: false, width: 160 }).split('\n')[2]
  }
  const headers = [0, 999, 59_000, 80_000, 3_540_000, 36_000_000].flatMap((age) =>
    [0, 1, 999, 12_000].map((rate) => header(age, rate)),
  )
  expect(new Set(headers).size, headers.join('\n')).toBe(1)
})

test('the bar has a cell for each hour, in ASCII, too', () => {
  const report = assess(wellFacts)
  expect(renderStatus(report, { colour: false, width: 120 })).toMatch(/ ·{18}▇▇▄▁▇▇ /)
  const ascii = renderStatus(report, { colour: true, width: 120, unicode: false })
  expect(ascii).not.toMatch(/\P{ASCII}/u)
  expect(stripVTControlCharacters(ascii)).toMatch(/\+ inspector-proxy +healthy.* \|{18}##=_## /)
})

test('an alert channel that fails is not "all is well", and something can be done', () => {
  const health = {
    ...newHealth('hook', 'webhook'),
    state: 'retrying',
    failures: 2,
    queued: 2,
    lastError: 'HTTP 500',
  } as const
  const report = assess({ ...wellFacts, alertChannels: [health] })
  expect(report.exitCode).toBe(151)
  expect(report.next.join()).toMatch(/proxy-monitor --config '\/etc\/port watchdog.yaml' --test-alert hook /)
  expect(renderStatus(report, { colour: false, width: 120 })).toMatch(
    /alerts: hook failing, 2 queued \(HTTP 500\)/,
  )
})

test('the address to open can be pasted: a URL where it is HTTP, no wildcard, what others reach first', () => {
  const open = (health: Parameters<typeof answeringForward>[0]) =>
    assess(forwardFacts(answeringForward(health))).forwards[0]?.openAt
  const addresses = (...all: string[]) =>
    all.map((address) => ({ address, port: 8080, origin: 'bound' as const }))
  const listen = { ...wellHealth.listen, port: 8080 }
  expect(open({ listen: { ...listen, addresses: addresses('::') } })).toStrictEqual([
    '192.0.2.7:8080',
    '[2001:db8::7]:8080',
    '127.0.0.1:8080',
    '[::1]:8080',
  ])
  expect(
    open({ listen: { ...listen, addresses: addresses('127.0.0.1', 'fe80::1%eth0', '10.0.0.5') } }),
  ).toStrictEqual(['10.0.0.5:8080', '127.0.0.1:8080'])
  const gate = { kind: 'token' as const, tokenPlace: '/x', logins: 0, failedAttempts: 0 }
  const certificate = { subject: 'CN=x', names: '', validFrom: '', validTo: '', fingerprint: '' }
  const tls = { certificate, target: null }
  expect(open({ listen: { ...listen, addresses: addresses('10.0.0.5') }, gate, tls })).toStrictEqual([
    'https://10.0.0.5:8080',
  ])
  expect(open({ listen: { ...listen, addresses: addresses('10.0.0.5') }, tls })).toStrictEqual([
    '10.0.0.5:8080',
  ])
  expect(open({})).toStrictEqual(['http://192.0.2.7:6277', 'http://[2001:db8::7]:6277'])
})

test('the schema refuses what the report never says', () => {
  const report = JSON.parse(JSON.stringify(assess(wellFacts))) as Record<string, unknown>
  expect(schema.safeParse(report).success).toBe(true)
  for (const wrong of [
    { ...report, schemaVersion: 2 },
    { ...report, exitCode: 2 },
    { ...report, more: 1 },
    { ...report, forwards: [{}] },
    { ...report, monitor: { ...(report.monitor as object), state: 'FINE' } },
  ]) {
    expect(schema.safeParse(wrong).success, JSON.stringify(wrong)).toBe(false)
  }
})

test('colour changes nothing but colour', () => {
  for (const [, facts] of cases) {
    const plain = renderStatus(assess(facts), { colour: false, width: 80 })
    const coloured = renderStatus(assess(facts), { colour: true, width: 80 })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape sequence of a colour.
    expect(coloured.replaceAll(/\u001b\[\d+m/g, '')).toBe(plain)
  }
})

const verdicts: readonly (ProcessVerdict | undefined)[] = [
  'alive',
  'zombie',
  'stopped',
  'gone',
  'reused',
  'unverifiable',
  undefined,
]

test('no combination of monitor, process, control and record calls healthy what does not answer, or well what nobody watches', () => {
  const phases = [
    'unknown',
    'starting',
    'running',
    'stopping',
    'backoff',
    'flapping',
    'blocked',
    'detached',
    'down',
  ] as const
  for (const monitor of [wellFacts, ...Object.values(monitors)]) {
    for (const verdict of verdicts) {
      for (const control of ['silent', 'absent'] as const) {
        for (const phase of phases) {
          const process = verdict === undefined ? undefined : { pid, verdict }
          const report = assess({ ...monitor, forwards: [silentForward(process, { phase }, control)] })
          const [forward] = report.forwards
          assert(forward !== undefined)
          expect(!['healthy', 'waiting', 'unreachable', 'degraded'].includes(forward.state)).toBeTruthy()
          expect(forward.reason === null, `${forward.state} without a reason`).toBe(false)
          expect(report.exitCode === 0).toBe(monitor === wellFacts && forward.state === 'down')
          if (verdict === 'alive' || verdict === 'stopped' || verdict === 'unverifiable') {
            expect(['hung', 'suspended', 'unverifiable'].includes(forward.state), forward.state).toBeTruthy()
          }
        }
      }
    }
  }
})

test('what needs a living monitor is not said without one', () => {
  for (const [cause, monitor] of Object.entries(monitors)) {
    if (cause === 'records' || cause === 'configuration') continue
    const forward = silentForward(undefined, { phase: 'backoff', reason: 'it died', nextTryAt: now + 1000 })
    const [status] = assess({ ...monitor, forwards: [forward] }).forwards
    expect(status?.state).toBe(cause === 'starting' ? 'starting' : 'dead')
    expect(status?.nextTryInMs).toBe(null)
  }
})

test('a forward that somebody wants down is down, not dead, without a monitor too', () => {
  const died = { ...(monitors.died ?? wellFacts), forwards: [silentForward(undefined, { phase: 'down' })] }
  expect(assess(died).forwards[0]?.state).toBe('down')
})

test('times of an earlier boot are no ages', () => {
  const report = assess(monitors.rebooted ?? wellFacts)
  expect(report.forwards[0]?.lastCheckAgeMs).toBe(null)
  expect(report.monitor.lastCheckAgeMs).toBe(null)
  expect(report.exitCode).toBe(3)
})

test('files of a forward that is no longer watched and does not run are not held against anybody', () => {
  const stranger = { ...silentForward({ pid: 9, verdict: 'gone' }), port: 7000, record: undefined }
  expect(assess({ ...wellFacts, forwards: [wellForward, stranger] }).exitCode).toStrictEqual(0)
  const unwatched = assess({
    ...wellFacts,
    reading: { kind: 'missing' },
    writerVerdict: undefined,
    forwards: [stranger],
  })
  expect(unwatched.forwards[0]?.state, 'started by hand, and dead').toBe('dead')
  const running = assess({
    ...wellFacts,
    forwards: [wellForward, { ...wellForward, port: 7000, record: undefined }],
  })
  expect(running.forwards.length, 'started by hand beside the monitor').toBe(2)
  expect(running.forwards.map(({ monitored }) => monitored)).toStrictEqual([true, false])
  expect(renderStatus(running, { colour: false, width: 120 })).toMatch(/not monitored/)
  expect(running.next[0] ?? '').toMatch(/^kill 4188 /)
  const elsewhere = assess({
    ...wellFacts,
    pidNamespace: 'pid:[1]',
    forwards: [{ ...wellForward, port: 7000, record: undefined }],
  })
  expect(elsewhere.next, 'its PID is one of another container').toStrictEqual([])
})

test('what falls short of healthy is said: a full forward, one target of several away; a Unix socket is an address', () => {
  const away = { ...wellHealth.target, state: 'unreachable' as const }
  const of = (health: Parameters<typeof answeringForward>[0]) => {
    const [forward] = assess(forwardFacts(answeringForward(health))).forwards
    assert(forward !== undefined)
    return forward
  }
  const full = of({ connections: { ...wellHealth.connections, full: 'descriptors' } })
  expect([full.state, full.reason]).toStrictEqual([
    'degraded',
    'turns connections away (descriptors): 2 of 1000 are open',
  ])
  const message =
    'this machine has no free source port towards 10.0.0.5:80: raise net.ipv4.ip_local_port_range'
  const short = of({ shortage: { reason: 'source-ports', message, ageMs: 10 } })
  expect([short.state, short.reason]).toStrictEqual(['degraded', message])
  const some = of({ targets: [wellHealth.target, away] })
  expect([some.state, some.reason]).toStrictEqual([
    'degraded',
    '1 of 2 targets do not answer: localhost:6277',
  ])
  const socket = of({ listen: { ...wellHealth.listen, addresses: [], paths: ['/run/x.sock'] } })
  expect([socket.state, socket.listen]).toStrictEqual(['healthy', ['unix:/run/x.sock']])
})

test('the next step is the one that mends', () => {
  const next = (
    cause: string,
    state: Partial<typeof wellState.writer> = {},
    directory = '/var/lib/port-watchdog',
  ) => {
    const facts = monitors[cause] ?? wellFacts
    const { reading } = facts
    const changed =
      reading.kind === 'read'
        ? { ...reading, state: { ...reading.state, writer: { ...reading.state.writer, ...state } } }
        : reading
    return assess({ ...facts, reading: changed, stateDirectory: directory, forwards: [] }).next[0]
  }
  const start = "proxy-monitor --state-dir /var/lib/port-watchdog --config '/etc/port watchdog.yaml'"
  expect(next('died')).toBe(start)
  expect(next('ended')).toBe(start)
  expect(next('suspended')).toBe('kill -CONT 4121')
  expect(next('hangs')).toBe(`kill -9 4121; ${start}`)
  expect(next('no-checks')).toBe(`kill -9 4121; ${start}`)
  expect(next('hangs', { serviceManager: 'systemd' })).toBe('systemctl restart proxy-monitor')
  expect(next('died', { serviceManager: 'systemd' }, '/home/me/x')).toBe(
    'systemctl --user start proxy-monitor',
  )
  expect(next('never-ran', {}, "/tmp/it's")).toBe("proxy-monitor --state-dir '/tmp/it'\\''s'")
  expect(next('records')).toBe('df -h /var/lib/port-watchdog; df -i /var/lib/port-watchdog')
})

test('the holder of a port is named, with the command that ends it and the way around it', () => {
  const held = (holder: Partial<StatusFacts['forwards'][number]>) =>
    assess(forwardFacts({ ...silentForward(undefined, { phase: 'blocked', reason: 'taken' }), ...holder }))
      .next
  expect(held({ holder: { pid: 990, command: 'node server.js' } })).toStrictEqual([
    'kill 990   (node server.js; holds port 6277), or give this forward another port',
  ])
  const look = ["sudo ss -ltnp 'sport = :6277'   (shows what holds port 6277)"]
  expect(held({ holder: { pid: undefined, command: 'unknown' } })).toStrictEqual(look)
  expect(held({})).toStrictEqual(look)
  const own = {
    holder: { pid: 4188, command: 'tcp-proxy' },
    process: { pid: 4188, verdict: 'gone' as const },
  }
  expect(held(own), 'never one of our own').toStrictEqual(look)
})

test('a forward that an order has stopped says whose order it was, and what starts it again', () => {
  const stopped = (control: 'answered' | 'absent') => {
    const wantedDown = {
      since: '2026-11-21T00:55:01.000Z',
      why: 'ordered by alice (UID 1000, cli)',
      by: 'alice',
    }
    const facts = forwardFacts({ ...silentForward(undefined, { phase: 'down' }), wantedDown })
    return assess({ ...facts, monitorControl: control })
  }
  const { forwards, next } = stopped('answered')
  expect(forwards[0]?.reason).toBe('stopped by alice at 2026-11-21T00:55:01.000Z')
  expect(next).toStrictEqual(['proxy-ctl start inspector-proxy'])
  expect(stopped('absent').next, 'nobody would take the order').not.toContain(
    'proxy-ctl start inspector-proxy',
  )
})

test('a forwarder alone is not offered a monitor that would watch other ports', () => {
  const alone = assess({
    ...wellFacts,
    reading: { kind: 'missing' },
    writerVerdict: undefined,
    forwards: [{ ...wellForward, record: undefined }],
  })
  expect(alone.exitCode).toBe(3)
  expect(alone.next).toStrictEqual([
    'to have port 6277 monitored, list it in a configuration file, then: proxy-monitor --config FILE --state-dir /run/user/1000/port-watchdog',
  ])
})

test('nobody is to be killed whose identity was not verified; a relative configuration says from where it works', () => {
  const elsewhere = assess({ ...(monitors.hangs ?? wellFacts), writerVerdict: 'unverifiable' })
  expect(elsewhere.next.join('\n')).not.toMatch(/kill/)
  const writer = { ...wellState.writer, configuration: 'pw.yaml' }
  const relative = assess(monitorFacts({ writer }, { writerVerdict: 'gone' }))
  expect(relative.next[0] ?? '').toMatch(/--config pw\.yaml {3}\(in the folder in which it was started\)/)
})

test('the next step names a program that is found as typed', (t) => {
  const folder = temporaryDirectory(t)
  writeFileSync(path.join(folder, 'proxy-log'), '', { mode: 0o755 })
  writeFileSync(path.join(folder, 'proxy-monitor'), '', { mode: 0o644 })
  const programs = ownPrograms(`/nowhere:${folder}`)
  expect(programs.log).toBe('proxy-log')
  const own = path.join(checkout, 'dist', 'bin', 'proxy-monitor.cjs')
  expect(programs.monitor).toMatch(new RegExp(`^(?:node )?'?${own}'?$`))
  const { next } = assess({ ...(monitors.ended ?? wellFacts), programs })
  expect(next[0]?.startsWith(`${programs.monitor} --state-dir `)).toBe(true)
})

test('control characters of a target do not reach the terminal', () => {
  const evil = { ...wellRecord, phase: 'blocked' as const, reason: 'held by \u001b[2Jnode' }
  const text = renderStatus(assess(forwardFacts(silentForward(undefined, evil))), {
    colour: false,
    width: 80,
  })
  expect(text).toMatch(/held by ␛\[2Jnode/)
})
