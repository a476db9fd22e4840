import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it, type TestContext } from 'vitest'
import { statusExitCode } from '../../src/report/status.ts'
import { openPage, withBrowser } from '../support/browser.ts'
import {
  type Inspector,
  type InspectorSettings,
  inspector1,
  inspector2,
  selfSignedCertificate,
  startToConnect2,
} from '../support/inspector.ts'
import { forwardsAre, type States, type Status } from '../support/lab-status.ts'
import { buildLab, type Lab, type LabOptions, whyNoLab } from '../support/namespaces.ts'
import type { Resident } from '../support/resident.ts'
import { type Finished, skipFor, step } from '../support/tools.ts'
import { command } from '../support/watched.ts'

/*
 * The real MCP Inspector on one machine, with its own default of listening on loopback alone, and the forwards in
 * front of it; a real browser, or curl for the plain parts, on another. Both machines are network namespaces.
 */

const token = 'a-token-that-the-user-chose'
const inspectorPage = /<title>MCP Inspector</

const obstacle = whyNoLab()
if (obstacle !== undefined) process.stderr.write(`\n*** END-TO-END TESTS SKIPPED: ${obstacle} ***\n\n`)
const suite = {
  skip: skipFor(obstacle),
  timeout: 300_000,
}

describe('The MCP Inspector behind the watched forwards', suite, () => {
  it('2.x on https, its two ports configured', (t) =>
    withLab(t, {}, async (lab) => {
      const { ipv4, ipv6 } = lab.host.address
      const config = join(lab.folder, 'port-watchdog.json')
      writeFileSync(config, JSON.stringify({ forwards: inspector2.ports.map(samePortForward) }))
      const tls = await selfSignedCertificate(lab.folder, [ipv4, ipv6])
      const origins = [`https://${ipv4}:6274`, `https://[${ipv6}]:6274`]
      // Whoever opens the page of 2.x gets its token.
      const expected = { 6274: 'exposed', 6275: 'healthy' }
      await useWatchedInspector(t, lab, inspector2, { origins, token, tls }, expected, ['--config', config])
    }))

  it('1.x on http, with the default forwards', (t) =>
    withLab(t, {}, async (lab) => {
      const { ipv4, ipv6 } = lab.host.address
      const origins = [`http://${ipv4}:6274`, `http://[${ipv6}]:6274`]
      const expected = { 6274: 'healthy', 6275: 'waiting', 6277: 'healthy' }
      await useWatchedInspector(t, lab, inspector1, { origins, token }, expected, [])
    }))
})

/** The whole way of one user: the monitor, the Inspector, the browser, the tools; and then the forward dies. */
async function useWatchedInspector(
  _t: TestContext,
  lab: Lab,
  inspector: Inspector,
  settings: InspectorSettings,
  expected: States,
  monitorOptions: readonly string[],
): Promise<void> {
  const stateDir = join(lab.folder, 'state')
  startProgram(lab, 'proxy-monitor', ['--state-dir', stateDir, ...monitorOptions])

  await step('before the Inspector starts, its ports are waiting: no fault, no alert', async () => {
    const waiting = Object.fromEntries(Object.keys(expected).map((port) => [port, 'waiting']))
    const { report, code } = await forwardsAre(waiting, lab, stateDir)
    assert.equal(code, 0)
    assert.deepEqual(
      report.forwards.map(({ failures }) => failures),
      report.forwards.map(() => 0),
    )
    assert.doesNotMatch(readFileSync(join(stateDir, 'proxy_monitor.log'), 'utf8'), /failure|alert/i)
  })

  await step('once it has started, they tell what visitors can do', async () => {
    await inspector.start(lab, settings)
    const { code } = await forwardsAre(expected, lab, stateDir)
    assert.equal(code, Object.values(expected).includes('exposed') ? statusExitCode.degraded : 0)
  })

  await step('its interface answers allowed origins alone', async () => {
    const { url, header } = inspector.apiRequest(lab.host.address.ipv4, settings)
    const askFrom = async (origin: string) => {
      const only = ['--output', '/dev/null', '--write-out', '%{http_code}', '--insecure']
      return (await curl(lab, url, ...only, '--header', header, '--header', `Origin: ${origin}`)).stdout
    }
    for (const origin of settings.origins) assert.equal(await askFrom(origin), '200')
    assert.equal(await askFrom('http://somewhere.example:6274'), '403')
  })

  await withBrowser(lab, async (browser) => {
    const [origin = ''] = settings.origins
    const page = await openPage(browser, inspector.pageAt(origin, settings))
    const connectAndList = async () => {
      await inspector.connect(page)
      const tools = await inspector.listTools(page)
      assert.ok(tools.includes('Echo Tool') && tools.length > 10, tools.join(', '))
    }

    await step(
      'a browser elsewhere opens the page, connects it to the MCP server, lists the tools',
      connectAndList,
    )

    await step('forwards killed under the browser are back, and so is the page', async () => {
      const victims = pidsOf(await forwardsAre(expected, lab, stateDir))
      assert.equal(victims.length, Object.keys(expected).length)
      for (const victim of victims) process.kill(victim, 'SIGKILL')
      await forwardsAre(expected, lab, stateDir, (now) => {
        const pids = pidsOf(now)
        return pids.length === victims.length && !pids.some((pid) => victims.includes(pid))
      })
      await page.reload()
      await connectAndList()
    })

    await step('by its IPv6 address, too', async () => {
      const [, ipv6Origin = ''] = settings.origins
      await page.goto(inspector.pageAt(ipv6Origin, settings))
      await connectAndList()
    })
  })
}

describe('The MCP Inspector behind one tcp-proxy', suite, () => {
  const withIpv6: LabOptions = { hostsFile: '127.0.0.1 localhost\n::1 localhost\n' }
  const withoutIpv6: LabOptions = { hostsFile: '127.0.0.1 localhost\n' }

  // What the Inspector listens on: 2.x on 127.0.0.1, 1.x on what `localhost` is on its machine.
  const cases: readonly [Inspector, LabOptions, string][] = [
    [inspector2, withIpv6, '127.0.0.1'],
    [inspector1, withIpv6, '[::1]'],
    [inspector1, withoutIpv6, '127.0.0.1'],
  ]
  for (const [inspector, machine, loopback] of cases) {
    // The second finds the Inspector as the first has left it: running.
    describe(`${inspector.version} on ${loopback}`, () => {
      let lab: Lab
      let forward: Resident
      beforeAll(() => {
        lab = buildLab(machine)
      })
      afterAll(() => lab.remove())

      it('the forward started first', (t) =>
        toldOnFailure(t, lab, async () => {
          forward = await startForward(lab)
          const early = await knock(lab, lab.host.address.ipv4)
          assert.ok(['closed', 'ECONNRESET'].includes(early), `with no target yet, a visitor got: ${early}`)
          await inspector.start(lab, { origins: [], token })
          await seePageFromBothSides(lab, loopback)
        }))

      it('the Inspector started first', (t) =>
        toldOnFailure(t, lab, async () => {
          assert.equal(await forward.stop(), 0)
          forward = await startForward(lab)
          await seePageFromBothSides(lab, loopback)
        }))

      if (inspector !== inspector2) return
      it('a visitor from a public address is turned away with a reset, and let in with --allow', (t) =>
        toldOnFailure(t, lab, async () => {
          const publicPage = pageOf(lab.host.address.publicIpv4)
          const stranger = lab.visitor.address.publicIpv4
          assert.match(await fetchPage(lab, pageOf(lab.host.address.ipv4)), inspectorPage)
          assert.equal(await knock(lab, lab.host.address.publicIpv4), 'ECONNRESET')
          await forward.line(new RegExp(`Connection from .*${stranger.replaceAll('.', '\\.')}.* refused`))
          assert.equal(await forward.stop(), 0)

          await startForward(lab, { options: ['--allow', `${stranger}/32`] })
          assert.match(await fetchPage(lab, publicPage), inspectorPage)
        }))
    })
  }

  it('2.x on http connects only from a page that the browser trusts: one on localhost', (t) =>
    withLab(t, {}, async (lab) => {
      const origin = `http://${lab.host.address.ipv4}:6274`
      const settings = { origins: [origin, 'http://localhost:6274'], token }
      await inspector2.start(lab, settings)
      await startForward(lab)
      await startForward(lab, { from: 'visitor', options: ['--bind', '127.0.0.1'] })
      await withBrowser(lab, async (browser) => {
        const page = await openPage(browser, inspector2.pageAt(origin, settings))
        await startToConnect2(page)
        await page.getByText('crypto.randomUUID is not a function').waitFor()

        const trusted = await openPage(browser, inspector2.pageAt('http://localhost:6274', settings))
        await inspector2.connect(trusted)
        assert.ok((await inspector2.listTools(trusted)).includes('Echo Tool'))
      })
    }))
})

/** Builds a lab, takes it down after use, and tells what its programs said when something failed. */
async function withLab(t: TestContext, options: LabOptions, use: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = buildLab(options)
  try {
    await toldOnFailure(t, lab, () => use(lab))
  } finally {
    lab.remove()
  }
}

async function toldOnFailure(t: TestContext, lab: Lab, use: () => Promise<void>): Promise<void> {
  try {
    await use()
  } catch (error) {
    for (const line of lab.story().split('\n')) void t.annotate(line)
    throw error
  }
}

/** The visitor sees the page through the forward, the Inspector's own machine without it. */
async function seePageFromBothSides(lab: Lab, loopback: string): Promise<void> {
  assert.match(await fetchPage(lab, pageOf(lab.host.address.ipv4)), inspectorPage)
  assert.match(await fetchPage(lab, pageOf(`[${lab.host.address.ipv6}]`)), inspectorPage)
  const own = await lab.host.run(['curl', ...CURL_OPTIONS, pageOf(loopback)])
  assert.match(own.stdout, inspectorPage, own.stderr)
}

function pageOf(host: string): string {
  return `http://${host}:6274/`
}

const CURL_OPTIONS = ['--silent', '--show-error', '--max-time', '10']

function curl(lab: Lab, url: string, ...options: string[]): Promise<Finished> {
  return lab.visitor.run(['curl', ...CURL_OPTIONS, ...options, url])
}

async function fetchPage(lab: Lab, url: string): Promise<string> {
  const { code, stdout, stderr } = await curl(lab, url)
  assert.equal(code, 0, stderr)
  return stdout
}

/**
 * Connects from the visitor to port 6274, says nothing, and tells how it ended: `closed`, an error's code, or `open`
 * after five seconds. (curl tells a reset that comes at once as a connection that could not be made.)
 */
async function knock(lab: Lab, host: string): Promise<string> {
  const script = `
    const end = (how) => { console.log(how); process.exit() }
    require('node:net').connect(6274, ${JSON.stringify(host)})
      .on('error', ({ code }) => end(code)).on('end', () => end('closed')).resume()
    setTimeout(end, 5_000, 'open')`
  const { stdout } = await lab.visitor.run([process.execPath, '--eval', script])
  return stdout.trim()
}

/** An entry of the configuration file. */
function samePortForward(port: number): object {
  return { name: `inspector-${port}`, listen: port, target: `localhost:${port}` }
}

interface ForwardStart {
  /** The machine that forwards; the visitor's forwards to the host. */
  readonly from?: 'host' | 'visitor'
  readonly options?: readonly string[]
}

/** Starts `tcp-proxy` for port 6274 and waits until it listens. */
async function startForward(lab: Lab, { from = 'host', options = [] }: ForwardStart = {}): Promise<Resident> {
  const target = from === 'host' ? 'localhost' : lab.host.address.ipv4
  const stateDir = join(lab.folder, `forward-of-${from}`)
  const words = ['6274', target, '6274', '--state-dir', stateDir, ...options]
  const forward = lab[from].start(command('tcp-proxy', ...words))
  await forward.line(/Listening on/)
  return forward
}

function startProgram(lab: Lab, name: string, words: readonly string[]): Resident {
  return lab.host.start(command(name, ...words))
}

function pidsOf({ report }: Status): number[] {
  return report.forwards.flatMap(({ pid }) => pid ?? [])
}
