import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { gatePaths, gateWords } from '../../src/forward/gate/login.ts'
import { loginPage } from '../../src/web/pages.ts'
import { launchBrowser } from '../../test/support/browser.ts'
import { run } from '../../test/support/tools.ts'
import { statusReports } from './reports.ts'
import { type Screen, type Theme, terminalSvg } from './terminal-svg.ts'

// Draws docs/images. Reports are printed by the code of proxy-status; the story of a restart and the login page are the real thing.

const checkout = fileURLToPath(new URL('../../..', import.meta.url))
const images = path.join(checkout, 'docs', 'images')
const themes: readonly Theme[] = ['light', 'dark']
process.env.TZ = 'UTC'

function draw(name: string, screen: Screen): void {
  for (const theme of themes)
    writeFileSync(path.join(images, `${name}-${theme}.svg`), terminalSvg(screen, theme))
}

/** A forwarder is killed under a monitor, and proxy-log tells about it. */
async function storyOfRestart(): Promise<string> {
  const folder = mkdtempSync(path.join(tmpdir(), 'port-watchdog-pictures-'))
  const server = createServer((_, response) => response.end('hello\n')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const spare = createServer().listen(0, '127.0.0.1')
  await once(spare, 'listening')
  const listen = (spare.address() as AddressInfo).port
  spare.close()
  const file = path.join(folder, 'port-watchdog.yaml')
  const target = `127.0.0.1:${(server.address() as AddressInfo).port}`
  writeFileSync(file, `forwards: [{ name: web, listen: ${listen}, bind: 127.0.0.1, target: "${target}" }]\n`)
  const program = (name: string) => path.join(checkout, 'dist', 'bin', `${name}.cjs`)
  const ofState = ['--state-dir', path.join(folder, 'state')]
  const monitor = spawn(
    process.execPath,
    [program('proxy-monitor'), '--stop-forwards', '--config', file, ...ofState],
    { stdio: 'ignore' },
  )
  try {
    const healthy = [process.execPath, program('proxy-status'), '--wait', 'healthy', ...ofState]
    await run(healthy, 60_000)
    const pid = Number(
      readFileSync(path.join(folder, 'state', `tcp_proxy_${listen}.pid`), 'utf8').split('\n')[0],
    )
    process.kill(pid, 'SIGKILL')
    for (;;) {
      const { stdout } = await run([process.execPath, program('proxy-log'), '--why', 'web', ...ofState])
      if (stdout.includes('Back after')) return stdout.replaceAll(String(listen), '8080')
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  } finally {
    monitor.kill('SIGTERM')
    await once(monitor, 'exit')
    server.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function drawLogin(): Promise<void> {
  const { html } = loginPage({
    host: '192.0.2.2:6274',
    next: '/',
    problem: undefined,
    tokenFile: undefined,
    path: gatePaths.login,
    words: gateWords,
  })
  const browser = await launchBrowser()
  try {
    for (const theme of themes) {
      const page = await browser.newPage({
        colorScheme: theme,
        viewport: { width: 520, height: 520 },
        deviceScaleFactor: 1.25,
      })
      await page.setContent(html)
      await page.screenshot({ path: path.join(images, `login-${theme}.png`) })
    }
  } finally {
    await browser.close()
  }
}

mkdirSync(images, { recursive: true })
const columns = 104
const { healthy, fault } = statusReports(columns)
draw('status', { command: 'proxy-status', output: healthy, columns })
draw('status-fault', { command: 'proxy-status', output: fault, columns })
draw('why', { command: 'proxy-log --why web', output: await storyOfRestart(), columns: 104 })
await drawLogin()
