import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { Page } from 'playwright-core'
import { openPage, withBrowser } from '../support/browser.ts'
import { type Inspector, inspector1, inspector2 } from '../support/inspector.ts'
import { buildLab, type Lab, whyNoLab } from '../support/namespaces.ts'
import { command } from '../support/watched.ts'

/*
 * The real MCP Inspector with its own settings, without ALLOWED_ORIGINS, behind gates; a real browser on another machine, on
 * plain HTTP and by IP address, which is all that a LAN without certificates has.
 */

const obstacle = whyNoLab()
const suite = {
  skip: obstacle === undefined ? false : `NOT TESTED END TO END: ${obstacle}`,
  timeout: 120_000,
}

const settings = { origins: [], token: 'the-token-of-the-inspector-itself' }

describe('The MCP Inspector behind gates', suite, () => {
  for (const inspector of [inspector2, inspector1]) {
    it(`${inspector.version}, as it is started, used by who logs in and by nobody else`, (t) =>
      withLab(t, async (lab) => {
        const gateToken = await startGates(lab, inspector)
        await inspector.start(lab, settings)
        await t.test('nothing of it is reached without a login', () => reachNothing(lab, inspector))
        await t.test('a program with the token is let in', async () => {
          const { stdout } = await curl(lab, pageOf(lab), '--header', `Authorization: Bearer ${gateToken}`)
          assert.match(stdout, /<title>MCP Inspector</)
        })
        for (const host of [lab.host.address.ipv4, `[${lab.host.address.ipv6}]`]) {
          await t.test(`a browser logs in at ${host}, connects the Inspector and lists the tools`, () =>
            useInspector(lab, inspector, host, gateToken),
          )
        }
      }))
  }
})

/** Starts the monitor with a gated forward for each port, and gives the token. */
async function startGates(lab: Lab, { ports }: Inspector): Promise<string> {
  const config = join(lab.folder, 'port-watchdog.json')
  const forwards = ports.map((port) => ({
    name: `inspector-${port}`,
    listen: port,
    target: `localhost:${port}`,
    gate: 'token',
  }))
  writeFileSync(config, JSON.stringify({ forwards }))
  const stateDir = join(lab.folder, 'state')
  const monitor = lab.host.start(command('proxy-monitor', '--config', config, '--state-dir', stateDir))
  for (const port of ports) await monitor.line(new RegExp(`Proxy for port ${port} started`))
  return readFileSync(join(stateDir, 'gate_token'), 'utf8').trim()
}

/** Every path, every method, every port, and both of the ways in that the Inspector itself would take. */
async function reachNothing(lab: Lab, inspector: Inspector): Promise<void> {
  const { header } = inspector.apiRequest(lab.host.address.ipv4, settings)
  for (const port of inspector.ports) {
    for (const path of [
      '/',
      '/api/config',
      '/config',
      '/sandbox',
      '/sse',
      '/mcp',
      '/healthz',
      '/health',
      '/assets/x.js',
    ]) {
      const url = `http://${lab.host.address.ipv4}:${port}${path}`
      for (const options of [
        [],
        ['--header', header],
        ['--request', 'POST'],
        ['--header', 'Accept: text/html'],
      ]) {
        const { stdout } = await curl(lab, url, '--write-out', '\n%{http_code}', ...options)
        assert.match(stdout, /\n401$/, `${url} ${options}`)
        assert.doesNotMatch(stdout, /MCP|INSPECTOR/)
      }
    }
  }
}

async function useInspector(lab: Lab, inspector: Inspector, host: string, gateToken: string): Promise<void> {
  await withBrowser(lab, async (browser) => {
    const address = inspector.pageAt(`http://${host}:6274`, settings)
    const page = await openPage(browser, address)
    await page.getByLabel('Access token').fill('not the token')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('alert').getByText('That is not the token.').waitFor()
    await logIn(page, gateToken)
    await page.waitForURL(address)
    await inspector.connect(page)
    const tools = await inspector.listTools(page)
    assert.ok(tools.includes('Echo Tool') && tools.length > 10, tools.join(', '))
  })
}

async function logIn(page: Page, gateToken: string): Promise<void> {
  await page.getByLabel('Access token').fill(gateToken)
  await page.getByRole('button', { name: 'Log in' }).click()
}

function pageOf(lab: Lab): string {
  return `http://${lab.host.address.ipv4}:6274/`
}

function curl(lab: Lab, url: string, ...options: string[]) {
  return lab.visitor.run(['curl', '--silent', '--show-error', '--max-time', '10', ...options, url])
}

async function withLab(t: TestContext, use: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = buildLab()
  try {
    await use(lab)
  } catch (error) {
    t.diagnostic(lab.story())
    throw error
  } finally {
    lab.remove()
  }
}
