import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { describe, it, type TestContext } from 'vitest'
import { openPage, withBrowser } from '../support/browser.ts'
import { type Inspector, inspector1, inspector2 } from '../support/inspector.ts'
import { forwardsAre } from '../support/lab-status.ts'
import { buildLab, type Lab, whyNoLab } from '../support/namespaces.ts'
import { skipFor, step } from '../support/tools.ts'
import { command } from '../support/watched.ts'

/*
 * The real MCP Inspector with its own settings, without ALLOWED_ORIGINS, behind gates; a real browser on another machine, on
 * plain HTTP and by IP address, which is all that a LAN without certificates has; and once with TLS.
 */

const obstacle = whyNoLab()
const suite = {
  skip: skipFor(obstacle),
  timeout: 300_000,
}

const settings = { origins: [], token: 'the-token-of-the-inspector-itself' }

describe('The MCP Inspector behind gates', suite, () => {
  for (const inspector of [inspector2, inspector1]) {
    it(`${inspector.version}, as it is started, used by who logs in and by nobody else`, (t) =>
      withLab(t, async (lab) => {
        const gateToken = await startDefaultGates(lab)
        await inspector.start(lab, settings)
        await step('all of it is healthy, without a word about origins or tokens', async () => {
          const expected = Object.fromEntries(
            [6274, 6275, 6277].map((port) => [port, inspector.ports.includes(port) ? 'healthy' : 'waiting']),
          )
          const { code, report } = await forwardsAre(expected, lab, join(lab.folder, 'state'))
          assert.deepEqual([code, report.next.filter((step) => !step.startsWith('start your app'))], [0, []])
        })
        await step('nothing of it is reached without a login', () => reachNothing(lab, inspector))
        await step('a program with the token is let in', async () => {
          const { stdout } = await curl(lab, pageOf(lab), '--header', `Authorization: Bearer ${gateToken}`)
          assert.match(stdout, /<title>MCP Inspector</)
        })
        await withBrowser(lab, async (browser) => {
          const { ipv4, ipv6 } = lab.host.address
          for (const host of inspector === inspector1 ? [`[${ipv6}]`] : [ipv4, `[${ipv6}]`]) {
            await step(`a browser logs in at ${host}, connects the Inspector and lists the tools`, () =>
              useInspector(browser, inspector, { scheme: 'http', host, gateToken }),
            )
          }
        })
      }))
  }

  it(`${inspector2.version} on https: a browser logs in, connects the Inspector and lists the tools`, (t) =>
    withLab(t, async (lab) => {
      const gateToken = await startGates(lab, inspector2, { tlsSelfSigned: true })
      await inspector2.start(lab, settings)
      await withBrowser(lab, (browser) =>
        useInspector(browser, inspector2, { scheme: 'https', host: lab.host.address.ipv4, gateToken }),
      )
    }))
})

/** The default forwards behind a login, as the first command of a user starts them; gives the token. */
async function startDefaultGates(lab: Lab): Promise<string> {
  const stateDir = join(lab.folder, 'state')
  const monitor = lab.host.start(command('proxy-monitor', '--gate', 'token', '--state-dir', stateDir))
  for (const name of ['inspector', 'inspector-sandbox', 'inspector-proxy']) {
    await monitor.line(new RegExp(`${name} started`))
  }
  return readFileSync(join(stateDir, 'gate_token'), 'utf8').trim()
}

/** Starts the monitor with a gated forward for each port, and gives the token. */
async function startGates(lab: Lab, { ports }: Inspector, options: object = {}): Promise<string> {
  const config = join(lab.folder, 'port-watchdog.json')
  const forwards = ports.map((port) => ({
    name: `inspector-${port}`,
    listen: port,
    target: `localhost:${port}`,
    gate: 'token',
    ...options,
  }))
  writeFileSync(config, JSON.stringify({ forwards }))
  const stateDir = join(lab.folder, 'state')
  const monitor = lab.host.start(command('proxy-monitor', '--config', config, '--state-dir', stateDir))
  for (const port of ports) await monitor.line(new RegExp(`inspector-${port} started`))
  return readFileSync(join(stateDir, 'gate_token'), 'utf8').trim()
}

/** Every path, every method, every port, and both of the ways in that the Inspector itself would take. */
async function reachNothing(lab: Lab, inspector: Inspector): Promise<void> {
  const { header } = inspector.apiRequest(lab.host.address.ipv4, settings)
  const paths = [
    '/',
    '/api/config',
    '/config',
    '/sandbox',
    '/sse',
    '/mcp',
    '/healthz',
    '/health',
    '/assets/x.js',
  ]
  for (const port of inspector.ports) {
    const urls = paths.map((path) => `http://${lab.host.address.ipv4}:${port}${path}`)
    for (const options of [
      [],
      ['--header', header],
      ['--request', 'POST'],
      ['--header', 'Accept: text/html'],
    ]) {
      const { stdout } = await curl(lab, ...urls, '--write-out', '\n%{http_code}\n', ...options)
      assert.deepEqual(
        stdout.match(/^\d{3}$/gm),
        urls.map(() => '401'),
        `port ${port}, ${options}`,
      )
      assert.doesNotMatch(stdout, /MCP|INSPECTOR/)
    }
  }
}

interface Visit {
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly gateToken: string
}

/** As a visitor of its own: with other cookies than the one before. */
async function useInspector(browser: Browser, inspector: Inspector, visit: Visit): Promise<void> {
  const { scheme, host, gateToken } = visit
  const address = inspector.pageAt(`${scheme}://${host}:6274`, settings)
  const page = await openPage(browser, address)
  await page.getByLabel('Access token').fill('not the token')
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('alert').getByText('That is not the token.').waitFor()
  await logIn(page, gateToken)
  await page.waitForURL(address)
  await inspector.connect(page)
  const tools = await inspector.listTools(page)
  assert.ok(tools.includes('Echo Tool') && tools.length > 10, tools.join(', '))
  if (inspector.sandboxPort !== undefined) {
    await openSandbox(page, `${scheme}://${host}:${inspector.sandboxPort}/sandbox`)
  }
  await page.context().close()
}

/**
 * MCP Apps run in a page of the Inspector's second port, which lets itself be embedded by the Inspector's own page alone, and
 * says so when it is ready.
 */
async function openSandbox(page: Page, address: string): Promise<void> {
  const script = `new Promise((resolve, reject) => {
    setTimeout(reject, 10_000, new Error('the sandbox said nothing'))
    addEventListener('message', ({ data, origin }) => resolve({ method: data.method, origin }))
    const frame = document.createElement('iframe')
    frame.src = ${JSON.stringify(address)}
    document.body.append(frame)
  })`
  assert.deepEqual(await page.evaluate(script), {
    method: 'ui/notifications/sandbox-proxy-ready',
    origin: new URL(address).origin,
  })
  const { sandboxUrl } = (await page.evaluate(`fetch('/api/config', {
    headers: { 'x-mcp-remote-auth': 'Bearer ' + window.__INSPECTOR_API_TOKEN__ },
  }).then((answer) => answer.json())`)) as { sandboxUrl: string }
  assert.equal(sandboxUrl, address)
}

async function logIn(page: Page, gateToken: string): Promise<void> {
  await page.getByLabel('Access token').fill(gateToken)
  await page.getByRole('button', { name: 'Log in' }).click()
}

function pageOf(lab: Lab): string {
  return `http://${lab.host.address.ipv4}:6274/`
}

function curl(lab: Lab, ...words: string[]) {
  return lab.visitor.run(['curl', '--silent', '--show-error', '--max-time', '10', ...words])
}

async function withLab(t: TestContext, use: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = buildLab()
  try {
    await use(lab)
  } catch (error) {
    void t.annotate(lab.story())
    throw error
  } finally {
    lab.remove()
  }
}
