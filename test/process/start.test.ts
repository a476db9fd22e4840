import { closeSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { identityOf, judgeProcess } from '../../src/process/identity.ts'
import {
  describeEnd,
  describeStartFailure,
  firstPassedDescriptor,
  type ProcessPlan,
  type ProcessStart,
  startProcess,
} from '../../src/process/start.ts'
import { until } from '../support/tools.ts'

describe('A process that is started', () => {
  const starts: ProcessStart[] = []
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'pw-start-'))
  })
  afterEach(async () => {
    for (const { process: running } of starts.splice(0)) {
      running?.child.kill('SIGKILL')
      await running?.ended
    }
    rmSync(folder, { recursive: true })
  })

  function start(script: string, plan: Partial<ProcessPlan> = {}): ProcessStart {
    const begun = startProcess({
      program: 'sh',
      words: ['-c', script, 'sh'],
      environment: process.env,
      output: 'inherit',
      ready: 'report',
      ...plan,
    })
    starts.push(begun)
    return begun
  }

  it('is ready when it reports so, in a session of its own', async () => {
    const { process: running, outcome } = start(`echo '{"ready":true}' >&3; exec 3>&-; exec sleep 60`)
    const result = await outcome
    expect(result).toEqual({ ok: true, identity: running?.identity })
    expect(running?.identity.pid).toBe(running?.pid)
    running?.child.kill('SIGTERM')
    const end = await running?.ended
    expect(end).toEqual({ kind: 'killed', signal: 'SIGTERM' })
    expect(end && describeEnd(end)).toBe('was killed by SIGTERM')
  })

  it('is given the words that it reports by, its folder, its environment and its descriptors', async () => {
    const file = path.join(folder, 'out')
    const descriptor = openSync(file, 'w')
    const script = `echo "$@ $(pwd) $COLOUR" >&${firstPassedDescriptor}; echo '{"ready":true}' >&3`
    const { outcome } = start(script, {
      cwd: folder,
      environment: { ...process.env, COLOUR: 'blue' },
      descriptors: [descriptor],
    })
    closeSync(descriptor)
    expect((await outcome).ok).toBe(true)
    expect(readFileSync(file, 'utf8')).toBe(`--report-fd 3 ${realpathSync(folder)} blue\n`)
  })

  it('refuses in its own words, and what it lacked is known', async () => {
    const { outcome } = start(
      `echo '{"ready":false,"message":"no room","exitCode":69,"code":"EMFILE"}' >&3; exec 3>&-; exit 69`,
    )
    expect(await outcome).toMatchObject({
      ok: false,
      failure: { code: 'refused', message: 'no room', exitCode: 69, shortage: { kind: 'descriptors' } },
    })
  })

  it('ends without a report', async () => {
    const result = await start('exit 7').outcome
    expect(result).toEqual({ ok: false, failure: { code: 'ended', end: { kind: 'exited', code: 7 } } })
    expect(!result.ok && describeStartFailure(result.failure)).toBe(
      'ended with exit code 7 before it was ready',
    )
  })

  it('cannot be run at all', async () => {
    const { process: running, outcome } = start('', { program: '/no/such/program' })
    expect(running).toBeUndefined()
    expect(await outcome).toMatchObject({
      ok: false,
      failure: { code: 'not-run', system: 'ENOENT', shortage: { kind: 'program' } },
    })
  })

  it('is late: it is killed with all that it has started', async () => {
    const { process: running, outcome } = start(`sleep 61 & echo $! >${folder}/child; wait`, {
      withinMs: 300,
    })
    const result = await outcome
    expect(result).toEqual({ ok: false, failure: { code: 'late', withinMs: 300 } })
    expect(!result.ok && describeStartFailure(result.failure)).toBe('was not ready within 0.3 s')
    expect(['gone', 'zombie']).toContain(running && judgeProcess(running.identity))
    const child = Number(readFileSync(path.join(folder, 'child'), 'utf8'))
    await until('its child is gone', async () => isGone(child) || undefined)
  })

  it('is abandoned before it is ready, and left alone after', async () => {
    const waiting = start('exec sleep 62')
    waiting.abandon()
    expect(await waiting.outcome).toMatchObject({ failure: { code: 'ended', end: { signal: 'SIGKILL' } } })
    const ready = start(`echo '{"ready":true}' >&3; exec 3>&-; exec sleep 62`)
    await ready.outcome
    ready.abandon()
    expect(ready.process && judgeProcess(ready.process.identity)).toBe('alive')
  })

  it('is ready when a probe says so', async () => {
    const file = path.join(folder, 'up')
    let isOver = false
    const { outcome } = start(`sleep 0.2; echo up >${file}; exec sleep 63`, {
      ready: async (_, signal) => {
        signal.addEventListener('abort', () => {
          isOver = true
        })
        await until('it is up', async () => readFileSync(file, 'utf8'))
        return { ready: true }
      },
    })
    expect((await outcome).ok).toBe(true)
    expect(isOver).toBe(true)
  })

  it('ends while a probe waits for it: nobody waits on', async () => {
    const { outcome } = start('exit 3', { ready: () => new Promise(() => {}) })
    expect(await outcome).toEqual({ ok: false, failure: { code: 'ended', end: { kind: 'exited', code: 3 } } })
  })

  it('whose probe fails is late, or has ended', async () => {
    const { outcome } = start('exec sleep 64', {
      ready: () => Promise.reject(new Error('no answer')),
      withinMs: 200,
    })
    expect(await outcome).toMatchObject({ failure: { code: 'late' } })
  })

  it('gets a channel for messages', async () => {
    const { outcome } = start('', {
      program: process.execPath,
      words: ['-e', 'process.send("up"); setTimeout(() => {}, 60_000)'],
      hasMessages: true,
      ready: ({ child }) =>
        new Promise((resolve) => child.on('message', (said) => said === 'up' && resolve({ ready: true }))),
    })
    expect((await outcome).ok).toBe(true)
  })
})

/** A zombie is gone, too: its parent is whoever is PID 1 here, which may not wait for it. */
function isGone(pid: number): boolean {
  const identity = identityOf(pid)
  return identity === undefined || judgeProcess(identity) !== 'alive'
}
