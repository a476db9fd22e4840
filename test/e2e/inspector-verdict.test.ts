import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import type { ForwardStatus, StatusReport } from '../../src/record/shapes/status-report.ts'
import { statusExitCode } from '../../src/report/status.ts'
import { inspector1, inspector2, selfSignedCertificate } from '../support/inspector.ts'
import { forwardsAre, statusUntil } from '../support/lab-status.ts'
import { buildLab, type Lab, whyNoLab } from '../support/namespaces.ts'
import type { Resident } from '../support/resident.ts'
import { skipFor } from '../support/tools.ts'
import { command } from '../support/watched.ts'

/* What `proxy-status` says of a forward in front of the real MCP Inspector. Behind a login: gate.test.ts. */

const obstacle = whyNoLab()
const suite = {
  skip: skipFor(obstacle),
  timeout: 300_000,
}
const token = 'the-token-of-the-inspector-itself'
const asItIs = { origins: [], token }

describe('The verdict on an MCP Inspector', suite, () => {
  it('2.x with the default forwards is exposed, and 6277 waits', (t) =>
    withLab(t, async (lab, stateDir) => {
      startMonitor(lab, stateDir)
      await inspector2.start(lab, asItIs)
      const expected = { 6274: 'exposed', 6275: 'healthy', 6277: 'waiting' }
      const { report, code } = await forwardsAre(expected, lab, stateDir)
      assert.equal(code, statusExitCode.degraded)
      assert.deepEqual([report.summary.exposed, report.summary.degraded], [1, 0])
      assert.match(
        of(report, 6274).reason ?? '',
        /^MCP Inspector 2\.12\.0 hands its token to every visitor: anybody who reaches http:\/\/10\.77\.0\.1:6274 can start programs on this machine, and its page fails with 403$/,
      )
      assert.match(
        report.next[0] ?? '',
        /--stop .*&& .* --gate token .*\(puts a login in front of inspector\)$/,
      )
      await typed(lab, stateDir, report.next[0] ?? '')
      await forwardsAre({ 6274: 'healthy', 6275: 'healthy', 6277: 'waiting' }, lab, stateDir)
    }))

  it('1.x is degraded until it is started with the origins that the advice names', (t) =>
    withLab(t, async (lab, stateDir) => {
      startMonitor(lab, stateDir)
      const first = await inspector1.start(lab, asItIs)
      const degraded = { 6274: 'healthy', 6275: 'waiting', 6277: 'degraded' }
      const { report } = await forwardsAre(degraded, lab, stateDir)
      const { reason, advice } = of(report, 6277)
      assert.equal(
        reason,
        'connecting from http://10.77.0.1:6274 fails with 403: MCP Inspector 1.x does not allow this origin',
      )
      const origins = /^start the Inspector with ALLOWED_ORIGINS=(\S+)$/.exec(advice ?? '')?.[1] ?? ''
      assert.ok(origins.split(',').includes('http://[fd77::1]:6274'), origins)

      await first.stop()
      const second = await inspector1.start(lab, { origins: origins.split(','), token })
      await forwardsAre({ 6274: 'healthy', 6275: 'waiting', 6277: 'healthy' }, lab, stateDir)

      await second.stop()
      await inspector1.start(lab, asItIs)
      await forwardsAre(degraded, lab, stateDir)
    }))

  it('2.x on https is exposed at its https address', (t) =>
    withLab(t, async (lab, stateDir) => {
      startMonitor(lab, stateDir)
      const tls = await selfSignedCertificate(lab.folder, [lab.host.address.ipv4])
      await inspector2.start(lab, { origins: ['https://10.77.0.1:6274'], token, tls })
      const { report } = await forwardsAre(
        { 6274: 'exposed', 6275: 'healthy', 6277: 'waiting' },
        lab,
        stateDir,
      )
      assert.equal(of(report, 6274).openAt[0], 'https://10.77.0.1:6274')
      assert.match(of(report, 6274).reason ?? '', /anybody who reaches https:\/\/10\.77\.0\.1:6274 can/)
    }))

  it('follows where a forward listens, its workers, its port and a handover', (t) =>
    withLab(t, async (lab, stateDir) => {
      const forwards = [
        {
          name: 'for-this-machine',
          listen: 7001,
          target: 'localhost:7000',
          bind: ['127.0.0.1'],
          inspector: true,
        },
        { name: 'for-all', listen: 7002, target: 'localhost:7000', inspector: true },
        { name: 'workers', listen: 7003, target: 'localhost:7000', inspector: true, workers: 2 },
        { name: 'never-asked', listen: 7004, target: 'localhost:7000' },
      ]
      const config = join(lab.folder, 'port-watchdog.json')
      writeFileSync(config, JSON.stringify({ forwards }))
      startMonitor(lab, stateDir, '--config', config)
      await inspector2.start(lab, { ...asItIs, pagePort: 7000 })
      const expected = { 7001: 'healthy', 7002: 'exposed', 7003: 'exposed', 7004: 'healthy' }
      const { report } = await forwardsAre(expected, lab, stateDir)
      assert.match(of(report, 7002).reason ?? '', /anybody who reaches http:\/\/10\.77\.0\.1:7002 can/)
      assert.equal(
        of(report, 7002).advice,
        `put a login in front: write gate: token in ${config} for each forward of the Inspector`,
      )

      // Both get through to the target: that is what was waited for.
      const wait = command('proxy-status', '--state-dir', stateDir, '--wait', 'healthy')
      assert.equal((await lab.host.run(wait)).code, 0)

      for (const port of [7002, 7003]) {
        const { pid } = of(report, port)
        process.kill(pid ?? 0, 'SIGUSR2')
        await statusUntil(
          `another process on ${port}, with the same verdict`,
          lab,
          stateDir,
          ({ report }) => {
            const now = of(report, port)
            if (now.pid !== pid && now.state === 'exposed') return now
            throw new Error(JSON.stringify(now))
          },
        )
      }
    }))

  it('follows the addresses of this machine', (t) =>
    withLab(t, async (lab, stateDir) => {
      const { name } = lab.host
      const take = (change: string) => lab.host.run(['ip', 'address', change, '10.77.9.1/24', 'dev', 'veth0'])
      await lab.host.run(['ip', 'address', 'flush', 'dev', 'veth0'])
      startMonitor(lab, stateDir)
      await inspector2.start(lab, asItIs)
      const alone = `an Inspector on ${name} that only this machine reaches`
      const before = await statusUntil(alone, lab, stateDir, ({ report }) => {
        const found = of(report, 6274)
        if (found.targetKnown?.state === 'reachable' && found.state !== 'exposed') return found
        throw new Error(JSON.stringify(found))
      })
      assert.doesNotMatch(before.reason ?? '', /Inspector/)
      await take('add')
      const { reason } = await statusUntil('the new address in the verdict', lab, stateDir, ({ report }) => {
        const found = of(report, 6274)
        if (found.state === 'exposed') return found
        throw new Error(JSON.stringify(found))
      })
      assert.match(reason ?? '', /anybody who reaches http:\/\/10\.77\.9\.1:6274 can/)
    }))
})

function startMonitor(lab: Lab, stateDir: string, ...words: string[]): Resident {
  return lab.host.start(command('proxy-monitor', '--state-dir', stateDir, ...words))
}

/** Runs a step as a person would type it, in a shell. What it starts stays. */
async function typed(lab: Lab, stateDir: string, step: string): Promise<void> {
  assert.ok(step.includes(stateDir), step)
  const text = step.replace(/ {3}\(.*$/, '')
  await lab.host.start(['bash', '-c', text]).line(/inspector-proxy (?:started|was handed over|is running)/i)
}

function of(report: StatusReport, port: number): ForwardStatus {
  const found = report.forwards.find((forward) => forward.port === port)
  if (found === undefined) throw new Error(`no forward on ${port}`)
  return found
}

async function withLab(t: TestContext, use: (lab: Lab, stateDir: string) => Promise<void>): Promise<void> {
  const lab = buildLab()
  try {
    await use(lab, join(lab.folder, 'state'))
  } catch (error) {
    void t.annotate(lab.story())
    throw error
  } finally {
    lab.remove()
  }
}
