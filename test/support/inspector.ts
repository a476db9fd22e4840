import { mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import type { Locator, Page } from 'playwright-core'
import type { Lab } from './namespaces.ts'
import type { Resident } from './resident.ts'
import { cached, nodeForInspector, run, until } from './tools.ts'

/** What a user sets before starting the Inspector, beyond the command line of the MCP server. */
export interface InspectorSettings {
  /** ALLOWED_ORIGINS: the addresses under which visitors open the page. Empty = not set. */
  readonly origins: readonly string[]
  readonly token: string
  /** The port of the page, where it is not 6274. */
  readonly pagePort?: number
  /** A certificate and its key, for a page on https (2.x only). */
  readonly tls?: Tls
}

/** Files of a certificate and its private key. */
export interface Tls {
  readonly certificate: string
  readonly key: string
}

/**
 * Makes a certificate that nobody but its own key has signed, for the addresses a page is opened under, as a
 * user would who has no certificate authority at hand.
 */
export async function selfSignedCertificate(folder: string, addresses: readonly string[]): Promise<Tls> {
  const tls = { certificate: join(folder, 'inspector.crt'), key: join(folder, 'inspector.key') }
  const names = addresses.map((address) => `IP:${address}`).join(',')
  const words = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '7',
  ]
  const files = ['-keyout', tls.key, '-out', tls.certificate]
  const subject = ['-subj', '/CN=MCP Inspector', '-addext', `subjectAltName=${names}`]
  const made = await run(['openssl', ...words, ...files, ...subject])
  if (made.code !== 0) throw new Error(`openssl: ${made.stderr}`)
  return tls
}

/** How one generation of the Inspector is started and used. */
export interface Inspector {
  readonly version: string
  /** The loopback ports it listens on. */
  readonly ports: readonly number[]
  /** The one with the sandbox of MCP Apps; undefined where that is for localhost alone, whatever is set. */
  readonly sandboxPort: number | undefined
  /** Starts it on the lab's host, on its default address, and waits until it says it is up. */
  start(lab: Lab, settings: InspectorSettings): Promise<Resident>
  /** What the visitor types into the address bar. */
  pageAt(origin: string, settings: InspectorSettings): string
  /** A request of the page to the Inspector's own interface, which starts programs: its address and its token. */
  apiRequest(host: string, settings: InspectorSettings): { readonly url: string; readonly header: string }
  /** As a user in the page: connects it to the MCP server, and waits until it says so. */
  connect(page: Page): Promise<void>
  /** As a user in the connected page: opens the tools, and reads their titles. */
  listTools(page: Page): Promise<string[]>
}

/** MCP Inspector 2.12.0: page and API on 6274, sandbox of MCP Apps on 6275. */
export const inspector2: Inspector = {
  version: '2.12.0',
  ports: [6274, 6275],
  sandboxPort: 6275,

  async start(lab, { origins, token, tls, pagePort }) {
    const program = cached('inspector-2', '@modelcontextprotocol/inspector/clients/launcher/build/index.js')
    const inspector = lab.host.start([nodeForInspector(), program, ...mcpServer(lab)], {
      ...commonSettings(lab, origins),
      MCP_INSPECTOR_API_TOKEN: token,
      MCP_INSPECTOR_SECRET_STORE: 'memory',
      CLIENT_PORT: pagePort === undefined ? undefined : String(pagePort),
      ...(tls && { INSPECTOR_TLS_CERT_PATH: tls.certificate, INSPECTOR_TLS_KEY_PATH: tls.key }),
    })
    await inspector.line(/^MCP Inspector Web is up and running/)
    return inspector
  },

  pageAt: (origin) => `${origin}/`,

  apiRequest: (host, { token, tls }) => ({
    url: `${tls ? 'https' : 'http'}://${host}:6274/api/config`,
    header: `x-mcp-remote-auth: Bearer ${token}`,
  }),

  async connect(page) {
    await startToConnect2(page)
    await seen(page, page.getByText('Connected', { exact: true }))
  },

  async listTools(page) {
    await click(page.getByRole('radio', { name: 'Tools' }))
    await page.getByRole('heading', { name: /^Tools \([1-9]/ }).waitFor()
    return page.getByRole('button').locator('p:first-child').allTextContents()
  },
}

/** In the page of 2.x: asks for a connection to the MCP server, and waits for nothing. */
export function startToConnect2(page: Page): Promise<void> {
  return click(page.getByRole('switch', { name: /^Connect or disconnect/ }))
}

/** MCP Inspector 1.0.3: page on 6274, its proxy on 6277. */
export const inspector1: Inspector = {
  version: '1.0.3',
  ports: [6274, 6277],
  sandboxPort: undefined,

  async start(lab, { origins, token }) {
    const program = cached('inspector-1', '@modelcontextprotocol/inspector/cli/build/cli.js')
    const inspector = lab.host.start([nodeForInspector(), program, ...mcpServer(lab)], {
      ...commonSettings(lab, origins),
      MCP_PROXY_AUTH_TOKEN: token,
    })
    await inspector.line(/MCP Inspector is up and running/)
    return inspector
  },

  pageAt: (origin, { token }) => `${origin}/?MCP_PROXY_AUTH_TOKEN=${token}`,

  apiRequest: (host, { token }) => ({
    url: `http://${host}:6277/config`,
    header: `X-MCP-Proxy-Auth: Bearer ${token}`,
  }),

  async connect(page) {
    // Its button is there before it has asked its proxy for the server's command.
    const command = page.getByRole('textbox', { name: 'Command' })
    await until('the page knows its server', async () =>
      (await command.inputValue()).endsWith('/everything') ? true : undefined,
    )
    await page.getByRole('button', { name: 'Connect', exact: true }).click()
    await seen(page, page.getByText('Connected', { exact: true }))
  },

  async listTools(page) {
    await page.getByRole('tab', { name: 'Tools' }).click()
    const panel = page.getByRole('tabpanel', { name: 'Tools' })
    await panel.getByRole('button', { name: 'List Tools' }).click()
    const titles = panel.locator('span.truncate')
    await titles.first().waitFor()
    return titles.allTextContents()
  },
}

/**
 * Clicks in one event. The inputs of 2.x are out of a mouse's reach, and its page replaces them while it loads: what goes
 * down on the one and up on the other counts for neither.
 */
function click(input: Locator): Promise<void> {
  return input.dispatchEvent('click')
}

/** Waits until something is in sight; when it does not come, tells what is there in its stead. */
async function seen(page: Page, wanted: Locator): Promise<void> {
  try {
    await wanted.waitFor()
  } catch (cause) {
    throw new Error(`the page shows:\n${await page.locator('body').ariaSnapshot()}`, { cause })
  }
}

/**
 * The command of the real MCP server that the Inspector starts, over stdio. Its stderr is left out: 1.x ends with "Not connected" when the
 * server says something there after the page has gone (modelcontextprotocol/inspector#1014), as it does of a page that goes early.
 */
function mcpServer(lab: Lab): string[] {
  const program = cached('everything', '@modelcontextprotocol/server-everything/dist/index.js')
  const quiet = join(lab.folder, 'everything')
  writeFileSync(quiet, `#!/bin/sh\nexec node '${program}' stdio 2>/dev/null\n`, { mode: 0o755 })
  return [quiet]
}

function commonSettings(lab: Lab, origins: readonly string[]): NodeJS.ProcessEnv {
  const home = join(lab.folder, 'inspector')
  mkdirSync(home, { recursive: true })
  return {
    HOME: home,
    ALLOWED_ORIGINS: origins.length === 0 ? undefined : origins.join(','),
    MCP_AUTO_OPEN_ENABLED: 'false',
    // 1.x starts its two halves as `node`, and so does the MCP server's command above.
    PATH: `${dirname(nodeForInspector())}${delimiter}${process.env.PATH ?? ''}`,
  }
}
