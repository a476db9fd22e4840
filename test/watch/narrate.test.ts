import { describe, expect, it } from 'vitest'
import type { News, Reason } from '../../src/watch/decide/cause.ts'
import { failureInWords, type Narrated, reasonInWords } from '../../src/watch/narrate/index.ts'
import { alertText, logLine } from '../../src/watch/narrate/log-lines.ts'
import { deadCheck, identity, spoken, summary, vocabulary } from '../support/observations.ts'
import { Play } from '../support/play.ts'

const shortage = { kind: 'descriptors', words: 'this process is out of file descriptors' } as const
const stray = { pid: 9, stateDirectory: '/run/x' } as const
const excess = { resource: 'memory', amount: 300 * 1024 ** 2, limit: 256 * 1024 ** 2 } as const
const often = { restarts: 5, windowMs: 600_000 } as const

/** One of every reason. */
const reasons: { readonly [C in Reason['code']]: Extract<Reason, { code: C }> | Reason } = {
  ordered: { code: 'ordered', why: 'SIGHUP' },
  faulty: { code: 'faulty', fault: spoken('hangs: PID 7 does not answer') },
  unproven: { code: 'unproven', fault: spoken('PID 7 may be one of ours') },
  died: { code: 'died', pid: 7, end: { kind: 'killed', signal: 'SIGKILL' } },
  'start-failed': { code: 'start-failed', fault: spoken('it ended with exit code 1 before it was ready') },
  'start-timed-out': { code: 'start-timed-out', withinMs: 10_000 },
  'start-blocked': { code: 'start-blocked', fault: spoken('somebody listens there already') },
  'place-taken': { code: 'place-taken', holder: summary(5, 'nginx') },
  shortage: { code: 'shortage', shortage },
  survived: { code: 'survived', processes: [summary(7, 'node'), summary(8, 'node')] },
  'stray-watched': { code: 'stray-watched', ...stray },
  'stray-asked': { code: 'stray-asked', ...stray },
  'stray-keeps': { code: 'stray-keeps' },
  'stray-silent': { code: 'stray-silent' },
  'waits-for': { code: 'waits-for', units: ['db', 'cache', 'queue'] },
  completed: { code: 'completed', pid: 7 },
  detached: { code: 'detached', pid: 7, processes: [summary(8, 'node')] },
  supervised: { code: 'supervised', by: 'systemd' },
  'not-restarted': { code: 'not-restarted', by: 'systemd', holder: summary(1, 'systemd') },
  'other-options': { code: 'other-options' },
  'over-limit': { code: 'over-limit', ...excess },
}

/** One of all news. */
const news: { readonly [C in News['code']]: News } = {
  absent: { code: 'absent' },
  'waits-for': { code: 'waits-for', units: ['db', 'cache', 'queue'] },
  completed: { code: 'completed', pid: 7 },
  detached: { code: 'detached', pid: 7, processes: [summary(8, 'node'), summary(9, 'node')] },
  'taking-rest': { code: 'taking-rest', pid: 7, processes: [summary(8, 'node')] },
  'rest-gone': { code: 'rest-gone', pid: 7 },
  started: { code: 'started', pid: 7 },
  adopted: { code: 'adopted', pid: 7 },
  'handed-over': { code: 'handed-over', pid: 8 },
  'other-process': { code: 'other-process', pid: 8, before: 7 },
  recovered: { code: 'recovered' },
  failed: { code: 'failed', reason: reasons.died, failures: 3 },
  blocked: { code: 'blocked', reason: reasons['place-taken'], failures: 3 },
  postponed: { code: 'postponed', delayMs: 1500, level: 3, resetAfterMs: 600_000, limitMs: 60_000 },
  paused: { code: 'paused', ...often, pauseMs: 300_000, reason: reasons.died },
  'flapping-supervised': { code: 'flapping-supervised', by: 'systemd', ...often, reason: reasons.died },
  short: { code: 'short', shortage, delayMs: 1000 },
  'left-to-supervisor': { code: 'left-to-supervisor', by: 'systemd' },
  'kept-by-supervisor': { code: 'kept-by-supervisor', by: 'systemd' },
  'given-up-by-supervisor': { code: 'given-up-by-supervisor', by: 'systemd' },
  'other-options-of-supervisor': { code: 'other-options-of-supervisor', by: 'systemd' },
  replacing: { code: 'replacing', reason: reasons['other-options'] },
  'replacement-failed': { code: 'replacement-failed', pid: 7, message: 'it has no descriptor left' },
  'replacement-under-way': { code: 'replacement-under-way', message: 'another one is being started' },
  adopting: { code: 'adopting', ...stray },
  'stray-asked': { code: 'stray-asked', ...stray },
  'stale-pid-file': { code: 'stale-pid-file', fault: spoken('PID 7 is gone') },
  'left-behind': { code: 'left-behind', pid: 7, processes: [summary(8, 'node')] },
  ended: { code: 'ended', pid: 7, isRest: false, reason: reasons.ordered },
  'ended-behind': { code: 'ended-behind', pid: 7, successor: 8 },
  'place-held': { code: 'place-held', holder: summary(9, 'sleep 600') },
  unseen: { code: 'unseen', why: 'EACCES' },
  'seen-again': { code: 'seen-again' },
  'not-ended': { code: 'not-ended', fault: spoken('PID 7 may be one of ours') },
  'not-seen': { code: 'not-seen', why: 'no descriptor is left' },
  'dependency-silent': { code: 'dependency-silent', error: 'connection refused', failures: 3 },
  'dependency-answers': { code: 'dependency-answers', afterMs: 12_000 },
  'over-limit': { code: 'over-limit', ...excess, samples: 3 },
  'within-limit': { code: 'within-limit', resource: 'memory', amount: 40 * 1024 ** 2, afterMs: 60_000 },
  'over-limit-again': { code: 'over-limit-again', ...often, pauseMs: 300_000, ...excess },
  impossible: { code: 'impossible', phase: 'running', what: 'started of start 4 after start 3' },
}

function allWords(unit: Narrated): string[] {
  return [
    ...Object.values(news).flatMap((one) => {
      const { level, message, good } = logLine(one, unit)
      const alert = alertText(one, unit)
      const line = `${one.code.padEnd(28)}${good ? 'good ' : level.padEnd(5)} ${message}`
      return alert === message ? [line] : [line, `${''.padEnd(28)}alert ${alert}`]
    }),
    '',
    ...Object.values(reasons).flatMap((one) => {
      const [reason, failure] = [reasonInWords(one, unit), failureInWords(one, unit)]
      return [
        `${one.code.padEnd(28)}${reason}`,
        ...(reason === failure ? [] : [`${''.padEnd(28)}web ${failure}`]),
      ]
    }),
  ]
}

describe('What a decision tells', () => {
  it('is put into words in one place, for a forward as people know it', async () => {
    const text = allWords({ kind: 'forward', name: 'web', vocabulary }).join('\n')
    await expect(`${text}\n`).toMatchFileSnapshot('../golden/narrated.txt')
  })

  it('speaks of ports, targets and forwarders only where the unit does', () => {
    const unit = { kind: 'program', name: 'jobs', vocabulary: { process: 'worker', fault: vocabulary.fault } }
    expect(allWords(unit).join('\n')).not.toMatch(/port(?!-watchdog)|target|forward/i)
  })

  it('names processes by their programs alone in an alert, which leaves the machine', () => {
    const unit = { kind: 'forward', name: 'web', vocabulary }
    const holder = summary(5, '/usr/bin/mysql -psecret')
    const why: readonly Reason[] = [
      { code: 'start-failed', fault: spoken('the port is taken'), holder },
      { code: 'place-taken', holder },
      { code: 'survived', processes: [holder] },
      { code: 'not-restarted', by: 'systemd', holder },
    ]
    const told: readonly News[] = [
      ...why.map((reason) => ({ code: 'blocked', reason, failures: 3 }) as const),
      ...why.map((reason) => ({ code: 'paused', ...often, pauseMs: 1000, reason }) as const),
      { code: 'place-held', holder },
      { code: 'left-behind', pid: 4, processes: [holder] },
    ]
    for (const one of told) {
      expect(logLine(one, unit).message).toContain('PID 5 (/usr/bin/mysql -psecret)')
      expect(alertText(one, unit)).toContain('PID 5 (mysql)')
      expect(alertText(one, unit)).not.toContain('secret')
    }
  })

  it('is in the journal what it is in the log: the wait, the count, the reason', () => {
    const play = new Play().running(7).dieAndReturn(8)
    play.see({ kind: 'died', identity: identity(8), end: { kind: 'killed', signal: 'SIGKILL' } }, 2000)
    expect(play.said()).toMatch(/will be restarted in 0\.8 s/)
    expect(play.explained).toMatchObject({
      kind: 'died',
      from: 'running',
      to: 'backoff',
      saw: 'PID 8 was killed by SIGKILL after 2.0 s',
      decided: 'postponed the restart by 750 ms',
      because: expect.stringMatching(/^it is restart 2 since it was last healthy for 10 min: waits double/),
    })
    play.see(deadCheck(), 100)
    expect(play.explained).toBeUndefined()
  })
})
