// Real apps (Vite, Express, Flask), each broken in its way: an agent sees the fault, reads its cause, mends the app, and has it run again.
// All through MCP, by the official client and by the command line of the MCP Inspector.
import { existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { agent, call, inspector } from '../support/agent.ts'
import { startPrograms } from '../support/programs.ts'
import { cached, freePort, skipFor, until } from '../support/tools.ts'
import { Watched } from '../support/watched.ts'

interface Fault {
  readonly name: string
  readonly app: 'vite' | 'express' | 'flask'
  /** Its files, beside the usual ones of such an app. */
  readonly broken: Readonly<Record<string, string>>
  /** What is said of the program, beside its folder, command and port. */
  readonly configured?: (port: number) => Readonly<Record<string, unknown>>
  /** A text that matches this names the cause. */
  readonly cause: RegExp
  /** It starts, and the fault shows later. */
  readonly isLate?: true
  /** Other files, or `tools` that are called with another unit. */
  readonly cure: {
    readonly files?: Readonly<Record<string, string>>
    readonly folder?: string
    readonly tool?: readonly [string, string]
  }
  readonly by: 'sdk' | 'inspector'
}

const express = (more: string) => `const app = require('express')()
app.get('/', (_, answer) => answer.send('ok'))
${more}
app.listen(process.env.PORT, '127.0.0.1')
`
const flask = (before: string, after = "app.run(port=int(os.environ['PORT']))") => `import os, socket, time
from flask import Flask
app = Flask(__name__)
@app.get('/')
def home():
    return 'ok'
${before}
${after}
`

const faults: readonly Fault[] = [
  {
    name: 'syntax error',
    app: 'vite',
    broken: { 'vite.config.js': 'export default { server: { open: false, }' },
    cause: /failed to load config[\s\S]*(?:Expected|Unexpected|SyntaxError)/,
    cure: { files: { 'vite.config.js': 'export default {}' } },
    by: 'sdk',
  },
  {
    name: 'missing module',
    app: 'vite',
    broken: { 'vite.config.js': "import left from 'left-out'; export default { plugins: [left()] }" },
    cause: /Cannot find (?:module|package) '?left-out|left-out/,
    cure: { files: { 'vite.config.js': 'export default {}' } },
    by: 'sdk',
  },
  {
    name: 'missing environment variable',
    app: 'express',
    broken: {
      '.env': '',
      'server.js': express("if (!process.env.DATABASE_URL) throw new Error('DATABASE_URL is not set')"),
    },
    configured: () => ({ envFile: './missing-environment-variable/.env' }),
    cause: /Error: DATABASE_URL is not set/,
    cure: { files: { '.env': 'DATABASE_URL=postgres://localhost/shop' } },
    by: 'sdk',
  },
  {
    name: 'port taken',
    app: 'express',
    broken: { 'server.js': express('') },
    cause: /port \d+.*(?:squatter|taken|held|in use)/,
    cure: { tool: ['process_stop', 'squatter'] },
    by: 'sdk',
  },
  {
    name: 'crash loop',
    app: 'express',
    broken: { 'server.js': express('setTimeout(() => console.log(process.session.user), 300)') },
    configured: () => ({ restart: { backoff: 0.2, flappingRestarts: 3 } }),
    cause: /Cannot read properties of undefined \(reading 'user'\)/,
    isLate: true,
    cure: { files: { 'server.js': express('') } },
    by: 'sdk',
  },
  {
    name: 'hang',
    app: 'express',
    broken: { 'server.js': express('setTimeout(() => { for (;;); }, 500)') },
    configured: (port) => ({
      health: { http: `http://127.0.0.1:${port}/`, interval: '300ms', timeout: '500ms', failureThreshold: 2 },
    }),
    cause: /(?:does|did) not answer/i,
    isLate: true,
    cure: { files: { 'server.js': express('') } },
    by: 'sdk',
  },
  {
    name: 'slow start',
    app: 'flask',
    broken: { 'app.py': flask("print('warming the cache, 10 minutes left', flush=True)\ntime.sleep(600)") },
    configured: () => ({ readyWithin: '3s' }),
    cause: /warming the cache/,
    cure: { files: { 'app.py': flask('') } },
    by: 'sdk',
  },
  {
    name: 'memory leak',
    app: 'flask',
    broken: {
      'app.py': flask(
        "import threading\nkept = []\ndef leak():\n    while True:\n        kept.append(b'x' * (20 << 20))\n        time.sleep(0.05)\nthreading.Thread(target=leak, daemon=True).start()",
      ),
    },
    configured: () => ({ limits: { memory: '200M' } }),
    cause: /memory.*(?:limit|more than|above)|(?:limit|above).*memory/i,
    isLate: true,
    cure: { files: { 'app.py': flask('') } },
    by: 'sdk',
  },
  {
    name: 'log flood',
    app: 'express',
    broken: {
      'server.js': express(`console.error('ERROR cannot write /data/cache: no space left on device')
let n = 0
setInterval(() => { for (let i = 0; i < 200; i++) console.log('GET /api/items/' + n++ + ' 200 in 5ms') }, 20)`),
    },
    cause: /no space left on device/,
    isLate: true,
    cure: { files: { 'server.js': express('') } },
    by: 'sdk',
  },
  {
    name: 'dependency down',
    app: 'flask',
    broken: { 'app.py': flask("socket.create_connection(('127.0.0.1', int(os.environ['DB_PORT'])))") },
    cause: /ConnectionRefusedError|Connection refused/,
    cure: { tool: ['process_start', 'db'] },
    by: 'sdk',
  },
  {
    name: 'wrong working folder',
    app: 'vite',
    broken: {},
    configured: () => ({ cwd: './wrong-working-folder/web' }),
    cause:
      /wrong-working-folder\/web.*(?:does not exist|no such)|(?:no such|no folder).*wrong-working-folder\/web/i,
    cure: { folder: 'web' },
    by: 'inspector',
  },
  {
    name: 'exits 0 at once',
    app: 'flask',
    broken: { 'app.py': flask('', "print('the server is not started: no app.run')") },
    cause: /code 0[\s\S]*no app\.run|no app\.run[\s\S]*code 0/,
    cure: { files: { 'app.py': flask('') } },
    by: 'sdk',
  },
]

const debianPython = '/usr/bin/python3'
const commands = {
  vite: (port: number) => [
    'node_modules/.bin/vite',
    '--port',
    `${port}`,
    '--strictPort',
    '--host',
    '127.0.0.1',
  ],
  express: () => ['node', 'server.js'],
  flask: () => [debianPython, 'app.py'],
} as const
const usual = {
  vite: { 'package.json': '{"type": "module"}', 'index.html': '<h1>ok</h1>' },
  express: { 'package.json': '{}' },
  flask: {},
} as const

const hasNoFlask =
  !existsSync('/usr/lib/python3/dist-packages/flask') && 'Flask of Debian (python3-flask) is missing'

/** Answers of a tool, by one of two clients. */
type Ask = (
  tool: string,
  given: Record<string, unknown>,
) => Promise<{ readonly text: string; readonly isError: boolean }>

describe.skipIf(skipFor(hasNoFlask))('A real app that is broken', { timeout: 120_000 }, () => {
  const watched = new Watched()
  const ports = new Map<string, number>()
  let client: Client
  const idOf = ({ name }: Fault) => name.replaceAll(' ', '-')
  const write = (folder: string, files: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text)
  }

  beforeAll(async () => {
    const db = await freePort()
    const programs = await Promise.all(
      faults.map(async (fault) => {
        const port = await freePort()
        ports.set(fault.name, port)
        const folder = watched.file(idOf(fault))
        mkdirSync(folder)
        write(folder, { ...usual[fault.app], ...fault.broken })
        if (fault.app !== 'flask')
          symlinkSync(path.dirname(cached(fault.app, fault.app)), path.join(folder, 'node_modules'))
        return {
          name: idOf(fault),
          cwd: `./${idOf(fault)}`,
          command: commands[fault.app](port),
          env: { PORT: `${port}`, DB_PORT: `${db}`, NODE_ENV: 'production', PYTHONUNBUFFERED: '1' },
          ready: { port },
          autostart: false,
          // What fails is tried again when the test is over.
          restart: { backoff: 60 },
          ...fault.configured?.(port),
        }
      }),
    )
    const listening = (port: number | undefined) => [
      'node',
      '-e',
      `require('node:net').createServer((s) => s.end()).listen(${port}, '127.0.0.1', () => console.log('listening'))`,
    ]
    const taken = ports.get('port taken') ?? 0
    await startPrograms(watched, [
      { name: 'db', command: listening(db), ready: { port: db }, autostart: false },
      { name: 'squatter', command: listening(taken), ready: { log: 'listening' } },
      ...programs,
    ])
    client = await agent(watched, 'modern')
    await call(client, 'wait_ready', { units: ['squatter'] })
  })

  afterAll(async () => {
    await client?.close()
    await watched.remove()
  })

  const bySdk: Ask = (tool, given) => call(client, tool, given)
  const byInspector: Ask = async (tool, given) => {
    const words = Object.entries(given).flatMap(([name, value]) => [
      '--tool-arg',
      `${name}=${JSON.stringify(value)}`,
    ])
    const { content, isError = false } = await inspector(
      watched,
      ...['--method', 'tools/call', '--tool-name', tool, ...words],
    )
    return { text: content[0].text, isError }
  }

  for (const fault of faults) {
    it(`${fault.name} (${fault.app}): seen, explained and cured by the ${fault.by === 'sdk' ? 'official client' : 'Inspector’s command line'}`, async () => {
      const ask = fault.by === 'sdk' ? bySdk : byInspector
      const units = [idOf(fault)]
      const started = await ask('process_start', { units })
      if (fault.isLate === undefined)
        expect(started).toMatchObject({
          isError: true,
          text: expect.stringMatching(/^failed: (?!timed-out)/),
        })
      // What fails at its start is explained by the answer to it.
      if (!fault.cause.test(started.text))
        await until(
          `${fault.name} is explained`,
          async () => {
            const { text } = await ask('get_status', { units })
            if (fault.cause.test(text)) return true
            throw new Error(text)
          },
          40_000,
        )

      const { files, folder, tool } = fault.cure
      const own = watched.file(idOf(fault))
      if (files !== undefined) write(own, files)
      if (folder !== undefined) {
        renameSync(own, `${own}-moved`)
        mkdirSync(own)
        renameSync(`${own}-moved`, path.join(own, folder))
      }
      if (tool !== undefined)
        expect(await ask(tool[0], { units: [tool[1]] })).toMatchObject({ isError: false })
      const cured = await ask('process_restart', { units })
      expect(cured).toMatchObject({
        isError: false,
        text: expect.stringMatching(/(?:healthy|degraded): pid \d+/),
      })
      expect(await (await fetch(`http://127.0.0.1:${ports.get(fault.name)}/`)).text()).toContain('ok')
      // It stays so, and costs nobody anything while the others are looked at.
      const { text } = await call(client, 'wait_ready', { units, for: 'healthy' })
      expect(text).toMatch(/^(?:already|done)/)
      await call(client, 'process_stop', { units })
    })
  }
})
