import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { Lab } from './namespaces.ts'

const chromiumFile = '/usr/bin/chromium'

/** Chromium heeds the last list alone, so what Playwright switches off is named here again. */
const featuresOff = [
  'AvoidUnnecessaryBeforeUnloadCheckSync',
  'DestroyProfileOnBrowserClose',
  'HttpsUpgrades',
  'HttpsFirstBalancedModeAutoEnable',
  'LensOverlay',
  'MediaRouter',
  'PaintHolding',
  'ThirdPartyStoragePartitioning',
  'AvoidCorsURLLoaderRestartOnRedirect',
  'OptimizationHints',
  'NetworkTimeServiceQuerying',
  'AimEnabled',
  'PreconnectToSearch',
  // Each window would load two pages for its address bar, in a process of their own: half of what a small page costs.
  'WebUIOmniboxPopup',
  'WebUIOmniboxAimPopup',
]

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  `--disable-features=${featuresOff.join(',')}`,
]

/** Opens headless Chromium on the lab's visiting machine, with an empty profile, and closes it after the visit. */
export async function withBrowser(lab: Lab, visit: (browser: Browser) => Promise<void>): Promise<void> {
  const browser = await openBrowser(lab)
  try {
    await visit(browser)
  } finally {
    await browser.close()
  }
}

function openBrowser(lab: Lab): Promise<Browser> {
  const home = join(lab.folder, 'visitor')
  mkdirSync(home, { recursive: true })
  const program = join(lab.folder, 'chromium')
  const command = lab.visitor.command([chromiumFile]).join(' ')
  writeFileSync(program, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 })
  return chromium.launch({
    executablePath: program,
    headless: true,
    args: FLAGS,
    env: { ...process.env, HOME: home, TMPDIR: lab.folder },
  })
}

/** Why no browser can be started here; undefined = one can. */
export function whyNoBrowser(): string | undefined {
  return existsSync(chromiumFile) ? undefined : `NOT TESTED IN A BROWSER: ${chromiumFile} is missing`
}

/** Opens headless Chromium on this machine, with an empty profile; the caller closes it. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumFile, headless: true, args: FLAGS })
}

/**
 * Chromium gives up a load whenever an interface of the machine comes or goes, as in tests beside this one. Its own page about that may then
 * come in the way of the next load.
 */
const networkChanged = /ERR_NETWORK_CHANGED|interrupted by another navigation to "chrome-error:/

/** Opens a URL in a page. @throws with whether the browser is still there: a page cannot tell. */
export async function visitUrl(page: Page, url: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await page.goto(url, { waitUntil: 'load' })
      return
    } catch (error) {
      const isThere = page.context().browser()?.isConnected() === true
      if (!isThere) throw new Error('the browser has ended', { cause: error })
      if (tries === 5 || !networkChanged.test(String(error))) throw error
    }
  }
}

/** A page of its own visitor, who clicks through the warning about a certificate nobody signed. */
export async function openPage(browser: Browser, url: string): Promise<Page> {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1400, height: 900 },
    // Each frame of a movement is drawn by the processor.
    reducedMotion: 'reduce',
  })
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  await visitUrl(page, url)
  return page
}
