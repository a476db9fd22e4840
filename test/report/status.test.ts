import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { z } from 'zod'
import { newHealth } from '../../src/alert/channel-health.ts'
import type { ProcessVerdict } from '../../src/os/process-identity.ts'
import type { InspectorFacts } from '../../src/record/forwarder-health.ts'
import { assess } from '../../src/report/assess.ts'
import type { StatusFacts } from '../../src/report/facts.ts'
import { ownPrograms } from '../../src/report/own-programs.ts'
import { renderStatus } from '../../src/report/render.ts'
import type { ForwardStatusState } from '../../src/report/status.ts'
import { columnsOf } from '../../src/report/text.ts'
import { temporaryDirectory } from '../support/children.ts'
import { matchesGolden } from '../support/golden.ts'
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
      forward: 'inspector-proxy',
      port: 6277,
      subject,
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
          event: 'forward',
          kind: 'target-down',
          forward: 'inspector-proxy',
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
  ['asked-for', detailed],
  ['over-limit', overLimit],
  ['open-incidents', incidents],
  ['slow-round', monitorFacts({ lastRound: { ms: 6200, forwards: 300 } })],
  ['workers', withWorkers],
]

for (const [name, facts] of cases) {
  test(`golden: ${name}, as text and as JSON that satisfies the schema`, () => {
    const report = assess(facts)
    const json = JSON.parse(JSON.stringify(report)) as unknown
    const checked = schema.safeParse(json)
    assert.ok(checked.success, checked.success ? '' : JSON.stringify(checked.error.issues, null, 1))
    matchesGolden(`status/${name}.json`, `${JSON.stringify(report, null, 2)}\n`)
    const pictures = [120, 80, 40].map(
      (width) => `--- ${width} columns\n${renderStatus(report, { colour: false, width })}`,
    )
    matchesGolden(`status/${name}.txt`, pictures.join('\n'))
  })

  test(`nothing is wider than the terminal: ${name}`, () => {
    for (const width of [...Array.from({ length: 130 }, (_, i) => i + 1), 200, 1000]) {
      const text = renderStatus(assess(facts), { colour: false, width })
      const tooWide = text.split('\n').filter((line) => columnsOf(line) > width)
      assert.deepEqual(tooWide, [], `at ${width} columns`)
    }
  })
}

test('each made-up state is the one it is meant to be', () => {
  for (const [state, facts] of Object.entries(forwards)) assert.equal(assess(facts).forwards[0]?.state, state)
  for (const [cause, facts] of Object.entries(monitors)) assert.equal(assess(facts).monitor.cause, cause)
})

test('on a narrow terminal what matters stays, and no time is torn apart', () => {
  const at = (width: number, facts = forwards.unreachable ?? wellFacts) =>
    renderStatus(assess(facts), { colour: false, width })
  assert.match(at(150), /NAME +STATE +OPEN AT +TARGET +LAST 24 H +OPEN +IN +OUT +RESTARTS/)
  assert.match(at(80), /NAME +STATE +OPEN AT +OPEN +RESTARTS/)
  assert.match(at(60), /NAME +STATE +OPEN AT/)
  assert.match(at(40), /NAME +STATE +PORT\n✗ inspector-proxy +unreachable +6277/)
  assert.match(at(20), /✗ inspector-proxy\n {2}unreachable\n/)
  for (const width of [40, 60, 80]) {
    assert.match(at(width, monitors.ended), /ended by SIGTERM at\s+2026-11-21 00:59:00/)
  }
})

test('ten faulty forwards fit on 45 rows of 120 columns, each reason once', () => {
  const text = renderStatus(assess(many), { colour: false, width: 120 })
  assert.ok(text.split('\n').length <= 45, text)
  for (let i = 0; i < 10; i++) {
    assert.equal(text.match(new RegExp(`127.0.0.1:${3000 + i} refused`, 'g'))?.length, 1)
    assert.equal(text.match(new RegExp(`start your app on localhost:${3000 + i}`, 'g'))?.length, 1)
  }
  assert.match(text, /1 healthy · 2 waiting · 10 down {3}state: /)
  assert.match(text, /… waiting for an app on localhost:6275 \(inspector-sandbox\), localhost:6277/)
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
  assert.equal(new Set(headers).size, 1, headers.join('\n'))
})

test('the bar has a cell for each hour, in ASCII, too', () => {
  const report = assess(wellFacts)
  assert.match(renderStatus(report, { colour: false, width: 120 }), / ·{18}▇▇▄▁▇▇ /)
  const ascii = renderStatus(report, { colour: true, width: 120, unicode: false })
  assert.doesNotMatch(ascii, /\P{ASCII}/u)
  assert.match(stripVTControlCharacters(ascii), /\+ inspector-proxy +healthy.* \|{18}##=_## /)
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
  assert.equal(report.exitCode, 151)
  assert.match(report.next.join(), /proxy-monitor --config '\/etc\/port watchdog.yaml' --test-alert hook /)
  assert.match(
    renderStatus(report, { colour: false, width: 120 }),
    /alerts: hook failing, 2 queued \(HTTP 500\)/,
  )
})

test('the address to open can be pasted: a URL where it is HTTP, no wildcard, what others reach first', () => {
  const open = (health: Parameters<typeof answeringForward>[0]) =>
    assess(forwardFacts(answeringForward(health))).forwards[0]?.openAt
  const addresses = (...all: string[]) =>
    all.map((address) => ({ address, port: 8080, origin: 'bound' as const }))
  const listen = { ...wellHealth.listen, port: 8080 }
  assert.deepEqual(open({ listen: { ...listen, addresses: addresses('::') } }), [
    '192.0.2.7:8080',
    '[2001:db8::7]:8080',
    '127.0.0.1:8080',
    '[::1]:8080',
  ])
  assert.deepEqual(
    open({ listen: { ...listen, addresses: addresses('127.0.0.1', 'fe80::1%eth0', '10.0.0.5') } }),
    ['10.0.0.5:8080', '127.0.0.1:8080'],
  )
  const gate = { kind: 'token' as const, tokenPlace: '/x', logins: 0, failedAttempts: 0 }
  const certificate = { subject: 'CN=x', names: '', validFrom: '', validTo: '', fingerprint: '' }
  const tls = { certificate, target: null }
  assert.deepEqual(open({ listen: { ...listen, addresses: addresses('10.0.0.5') }, gate, tls }), [
    'https://10.0.0.5:8080',
  ])
  assert.deepEqual(open({ listen: { ...listen, addresses: addresses('10.0.0.5') }, tls }), ['10.0.0.5:8080'])
  assert.deepEqual(open({}), ['http://192.0.2.7:6277', 'http://[2001:db8::7]:6277'])
})

test('the schema refuses what the report never says', () => {
  const report = JSON.parse(JSON.stringify(assess(wellFacts))) as Record<string, unknown>
  assert.equal(schema.safeParse(report).success, true)
  for (const wrong of [
    { ...report, schemaVersion: 2 },
    { ...report, exitCode: 2 },
    { ...report, more: 1 },
    { ...report, forwards: [{}] },
    { ...report, monitor: { ...(report.monitor as object), state: 'FINE' } },
  ]) {
    assert.equal(schema.safeParse(wrong).success, false, JSON.stringify(wrong))
  }
})

test('colour changes nothing but colour', () => {
  for (const [, facts] of cases) {
    const plain = renderStatus(assess(facts), { colour: false, width: 80 })
    const coloured = renderStatus(assess(facts), { colour: true, width: 80 })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape sequence of a colour.
    assert.equal(coloured.replaceAll(/\u001b\[\d+m/g, ''), plain)
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
    'down',
  ] as const
  for (const monitor of [wellFacts, ...Object.values(monitors)]) {
    for (const verdict of verdicts) {
      for (const control of ['silent', 'absent'] as const) {
        for (const phase of phases) {
          const process = verdict === undefined ? undefined : { pid, verdict }
          const report = assess({ ...monitor, forwards: [silentForward(process, { phase }, control)] })
          const [forward] = report.forwards
          assert.ok(forward !== undefined)
          assert.ok(!['healthy', 'waiting', 'unreachable', 'degraded'].includes(forward.state))
          assert.equal(forward.reason === null, false, `${forward.state} without a reason`)
          assert.equal(report.exitCode === 0, monitor === wellFacts && forward.state === 'down')
          if (verdict === 'alive' || verdict === 'stopped' || verdict === 'unverifiable') {
            assert.ok(['hung', 'suspended', 'unverifiable'].includes(forward.state), forward.state)
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
    assert.equal(status?.state, 'dead')
    assert.equal(status?.nextTryInMs, null)
  }
})

test('a forward that somebody wants down is down, not dead, without a monitor too', () => {
  const died = { ...(monitors.died ?? wellFacts), forwards: [silentForward(undefined, { phase: 'down' })] }
  assert.equal(assess(died).forwards[0]?.state, 'down')
})

test('times of an earlier boot are no ages', () => {
  const report = assess(monitors.rebooted ?? wellFacts)
  assert.equal(report.forwards[0]?.lastCheckAgeMs, null)
  assert.equal(report.monitor.lastCheckAgeMs, null)
  assert.equal(report.exitCode, 3)
})

test('files of a forward that is no longer watched and does not run are not held against anybody', () => {
  const stranger = { ...silentForward({ pid: 9, verdict: 'gone' }), port: 7000, record: undefined }
  assert.deepEqual(assess({ ...wellFacts, forwards: [wellForward, stranger] }).exitCode, 0)
  const unwatched = assess({
    ...wellFacts,
    reading: { kind: 'missing' },
    writerVerdict: undefined,
    forwards: [stranger],
  })
  assert.equal(unwatched.forwards[0]?.state, 'dead', 'started by hand, and dead')
  const running = assess({
    ...wellFacts,
    forwards: [wellForward, { ...wellForward, port: 7000, record: undefined }],
  })
  assert.equal(running.forwards.length, 2, 'started by hand beside the monitor')
  assert.deepEqual(
    running.forwards.map(({ monitored }) => monitored),
    [true, false],
  )
  assert.match(renderStatus(running, { colour: false, width: 120 }), /not monitored/)
  assert.match(running.next[0] ?? '', /^kill 4188 /)
  const elsewhere = assess({
    ...wellFacts,
    pidNamespace: 'pid:[1]',
    forwards: [{ ...wellForward, port: 7000, record: undefined }],
  })
  assert.deepEqual(elsewhere.next, [], 'its PID is one of another container')
})

test('what falls short of healthy is said: a full forward, one target of several away; a Unix socket is an address', () => {
  const away = { ...wellHealth.target, state: 'unreachable' as const }
  const of = (health: Parameters<typeof answeringForward>[0]) => {
    const [forward] = assess(forwardFacts(answeringForward(health))).forwards
    assert.ok(forward !== undefined)
    return forward
  }
  const full = of({ connections: { ...wellHealth.connections, full: 'descriptors' } })
  assert.deepEqual(
    [full.state, full.reason],
    ['degraded', 'turns connections away (descriptors): 2 of 1000 are open'],
  )
  const message =
    'this machine has no free source port towards 10.0.0.5:80: raise net.ipv4.ip_local_port_range'
  const short = of({ shortage: { reason: 'source-ports', message, ageMs: 10 } })
  assert.deepEqual([short.state, short.reason], ['degraded', message])
  const some = of({ targets: [wellHealth.target, away] })
  assert.deepEqual([some.state, some.reason], ['degraded', '1 of 2 targets do not answer: localhost:6277'])
  const socket = of({ listen: { ...wellHealth.listen, addresses: [], paths: ['/run/x.sock'] } })
  assert.deepEqual([socket.state, socket.listen], ['healthy', ['unix:/run/x.sock']])
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
  assert.equal(next('died'), start)
  assert.equal(next('ended'), start)
  assert.equal(next('suspended'), 'kill -CONT 4121')
  assert.equal(next('hangs'), `kill -9 4121; ${start}`)
  assert.equal(next('no-checks'), `kill -9 4121; ${start}`)
  assert.equal(next('hangs', { serviceManager: 'systemd' }), 'systemctl restart proxy-monitor')
  assert.equal(
    next('died', { serviceManager: 'systemd' }, '/home/me/x'),
    'systemctl --user start proxy-monitor',
  )
  assert.equal(next('never-ran', {}, "/tmp/it's"), "proxy-monitor --state-dir '/tmp/it'\\''s'")
  assert.equal(next('records'), 'df -h /var/lib/port-watchdog; df -i /var/lib/port-watchdog')
})

test('the holder of a port is named, with the command that ends it and the way around it', () => {
  const held = (holder: Partial<StatusFacts['forwards'][number]>) =>
    assess(forwardFacts({ ...silentForward(undefined, { phase: 'blocked', reason: 'taken' }), ...holder }))
      .next
  assert.deepEqual(held({ holder: { pid: 990, command: 'node server.js' } }), [
    'kill 990   (node server.js; holds port 6277), or give this forward another port',
  ])
  const look = ["sudo ss -ltnp 'sport = :6277'   (shows what holds port 6277)"]
  assert.deepEqual(held({ holder: { pid: undefined, command: 'unknown' } }), look)
  assert.deepEqual(held({}), look)
  const own = {
    holder: { pid: 4188, command: 'tcp-proxy' },
    process: { pid: 4188, verdict: 'gone' as const },
  }
  assert.deepEqual(held(own), look, 'never one of our own')
})

test('a forwarder alone is not offered a monitor that would watch other ports', () => {
  const alone = assess({
    ...wellFacts,
    reading: { kind: 'missing' },
    writerVerdict: undefined,
    forwards: [{ ...wellForward, record: undefined }],
  })
  assert.equal(alone.exitCode, 3)
  assert.deepEqual(alone.next, [
    'to have port 6277 monitored, list it in a configuration file, then: proxy-monitor --config FILE --state-dir /run/user/1000/port-watchdog',
  ])
})

test('nobody is to be killed whose identity was not verified; a relative configuration says from where it works', () => {
  const elsewhere = assess({ ...(monitors.hangs ?? wellFacts), writerVerdict: 'unverifiable' })
  assert.doesNotMatch(elsewhere.next.join('\n'), /kill/)
  const writer = { ...wellState.writer, configuration: 'pw.yaml' }
  const relative = assess(monitorFacts({ writer }, { writerVerdict: 'gone' }))
  assert.match(relative.next[0] ?? '', /--config pw\.yaml {3}\(in the folder in which it was started\)/)
})

test('the next step names a program that is found as typed', (t) => {
  const folder = temporaryDirectory(t)
  writeFileSync(path.join(folder, 'proxy-log'), '', { mode: 0o755 })
  writeFileSync(path.join(folder, 'proxy-monitor'), '', { mode: 0o644 })
  const programs = ownPrograms(`/nowhere:${folder}`)
  assert.equal(programs.log, 'proxy-log')
  const own = path.join(checkout, 'dist', 'src', 'cli', 'proxy-monitor.js')
  assert.match(programs.monitor, new RegExp(`^(?:node )?'?${own}'?$`))
  const { next } = assess({ ...(monitors.ended ?? wellFacts), programs })
  assert.equal(next[0]?.startsWith(`${programs.monitor} --state-dir `), true)
})

test('control characters of a target do not reach the terminal', () => {
  const evil = { ...wellRecord, phase: 'blocked' as const, reason: 'held by \u001b[2Jnode' }
  const text = renderStatus(assess(forwardFacts(silentForward(undefined, evil))), {
    colour: false,
    width: 80,
  })
  assert.match(text, /held by ␛\[2Jnode/)
})
