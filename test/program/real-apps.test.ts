// Real apps, run by their templates: each serves, and serves again after its death.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { runningAs, startPrograms } from '../support/programs.ts'
import { cached, freePort } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

/** A folder with these files, and with the packages that scripts/install-test-tools has fetched. */
function project(watched: Watched, tool: string, files: Readonly<Record<string, string>>): string {
  const folder = watched.file(tool)
  mkdirSync(folder)
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text)
  symlinkSync(path.dirname(cached(tool, tool)), path.join(folder, 'node_modules'))
  return folder
}

const page = async (port: number) => await (await fetch(`http://localhost:${port}/`)).text()

describe('By its template', { timeout: 120_000 }, () => {
  it('a Vite app and an Express app serve, and again after they were killed', async ({ watched }) => {
    const [vite, express] = [await freePort(), await freePort()]
    project(watched, 'vite', { 'package.json': '{"type": "module"}', 'index.html': '<h1>shop</h1>' })
    project(watched, 'express', {
      'package.json': '{"scripts": {"start": "node server.js"}}',
      'server.js': `const app = require('express')()
        app.get('/', (_, answer) => answer.send('catalogue'))
        app.listen(process.env.PORT, 'localhost')`,
    })
    await startPrograms(watched, [
      { name: 'shop', template: 'vite', port: vite, cwd: './vite' },
      { name: 'api', template: 'express', port: express, cwd: './express' },
    ])
    const pid = await runningAs(watched, 'shop')
    expect(await page(vite)).toContain('<h1>shop</h1>')
    const npm = await runningAs(watched, 'api')
    expect(await page(express)).toBe('catalogue')
    for (const killed of [pid, npm]) process.kill(killed, 'SIGKILL')
    await runningAs(watched, 'shop', pid)
    expect(await page(vite)).toContain('/@vite/client')
    await runningAs(watched, 'api', npm)
    expect(await page(express)).toBe('catalogue')
    expect(readFileSync(watched.file('program_shop.log'), 'utf8')).toMatch(/ready in/)
  })
})
