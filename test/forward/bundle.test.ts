// What is in the one file of the forwarder and in the files of the other commands, and what their starts load: every package costs each
// start time, and each forwarder memory.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type AddressInfo, connect, createServer } from 'node:net'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/children.ts'
import { checkout, freePort, tcpProxy } from '../support/tools.ts'

const library = path.join(path.dirname(tcpProxy), 'lib')

/** The one file that a command runs. */
function fileOf(command: string): string {
  const found = readdirSync(library).filter((name) => new RegExp(`^${command}-[0-9a-f]{8}\\.cjs$`).test(name))
  expect(found).toHaveLength(1)
  return path.join(library, found[0] ?? '')
}

const bundle = readFileSync(fileOf('tcp-proxy'), 'utf8')

/** Of each module in it, esbuild's comment. */
const modules = [...bundle.matchAll(/^ *\/\/ (src\/\S+\.ts)$/gm)].map(([, file = '']) => file)

const imported = [...bundle.matchAll(/\b(?:require|import)\("([^"]+)"\)/g)].map(([, name = '']) => name)

describe('The forwarder’s one file', () => {
  it('holds the rooms that forwards need, and no others', () => {
    expect(modules).toContain('src/forward/forwarder.ts')
    const rooms = [...new Set(modules.map((file) => file.split('/')[1]))].sort()
    expect(rooms).toEqual(['cli', 'config', 'control', 'forward', 'log', 'os', 'process', 'record', 'web'])
  })

  it('names only packages that some forwards load on demand: for --metrics, and where there is no /proc', () => {
    const packages = new Set(imported.filter((name) => !name.startsWith('node:') && !name.startsWith('#')))
    expect([...packages].sort()).toEqual(['find-process', 'prom-client', 'ps-list'])
  })

  it('starts and forwards where there is no package at all', async (t) => {
    const folder = temporaryDirectory(t)
    const file = path.join(folder, 'dist/bin/tcp-proxy.cjs')
    mkdirSync(path.join(folder, 'dist/bin/lib'), { recursive: true })
    copyFileSync(tcpProxy, file)
    for (const one of [fileOf('tcp-proxy'), path.join(library, 'launch.cjs')])
      copyFileSync(one, path.join(folder, 'dist/bin/lib', path.basename(one)))
    const target = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1')
    t.onTestFinished(() => void target.close())
    await once(target, 'listening')
    const { port: targetPort } = target.address() as AddressInfo
    const port = await freePort()
    const words = [
      port,
      '127.0.0.1',
      targetPort,
      '--bind',
      '127.0.0.1',
      '--state-dir',
      folder,
      '--report-fd',
      3,
    ]
    const child = spawn(process.execPath, [file, ...words.map(String)], {
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    })
    t.onTestFinished(() => void child.kill('SIGKILL'))
    const [report] = (await once(child.stdio[3] as Readable, 'data')) as [Buffer]
    expect(report.toString()).toContain('"ready":true')
    const [bytes] = (await once(connect(port, '127.0.0.1'), 'data')) as [Buffer]
    expect(bytes.toString()).toBe('hello')
  })
})

const commands = ['mcp-proxy', 'port-watchdog', 'proxy-ctl', 'proxy-log', 'proxy-monitor', 'proxy-status']

type Inputs = Readonly<Record<string, { readonly imports: readonly { path: string; kind: string }[] }>>

/** The packages whose modules run before the command does: those of its static imports. */
function packagesAtStart(command: string): string[] {
  const every = JSON.parse(readFileSync(path.join(checkout, 'dist/inputs.json'), 'utf8')) as Record<
    string,
    Inputs
  >
  const inputs = every[command] ?? {}
  const found = new Set<string>()
  const add = (file: string) => {
    if (found.has(file)) return
    found.add(file)
    for (const { path: name, kind } of inputs[file]?.imports ?? []) if (kind !== 'dynamic-import') add(name)
  }
  add(`src/cli/${command}.ts`)
  return [
    ...new Set([...found].flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? [])),
  ]
}

describe('The one file of each other command', () => {
  it.for(commands)('%s is what the command runs', (command) => {
    const runner = readFileSync(path.join(path.dirname(tcpProxy), `${command}.cjs`), 'utf8')
    expect(runner).toContain(`load('${path.basename(fileOf(command), '.cjs')}')`)
  })

  it.for(commands)('%s holds ASCII alone, as it is read', (command) => {
    expect(readFileSync(fileOf(command)).every((byte) => byte < 0x80)).toBe(true)
  })

  // What V8 refuses it compiles instead: nothing but the time would tell.
  it.for(['tcp-proxy', ...commands])('%s has a code cache that the V8 of the build takes', (command) => {
    const file = fileOf(command)
    const caches = readdirSync(library).filter(
      (name) => name.startsWith(`${command}-`) && name.endsWith('.cache'),
    )
    expect(caches).toHaveLength(1)
    const { cacheFile, compile } = createRequire(import.meta.url)(path.join(library, 'launch.cjs')) as Launch
    const isOfThisNode = caches[0] === path.basename(cacheFile(file))
    const cache = readFileSync(path.join(library, caches[0] ?? ''))
    expect(compile(file, cache).cachedDataRejected).toBe(!isOfThisNode)
  })

  it.for(commands)('%s starts with no package but those that read words and take colours away', (command) => {
    expect(['ansi-regex', 'commander', 'strip-ansi']).toEqual(
      expect.arrayContaining(packagesAtStart(command)),
    )
    expect(packagesAtStart(command)).toContain('commander')
  })

  it.for(commands)('%s holds of zod only what is used: messages in one language', (command) => {
    const text = readFileSync(fileOf(command), 'utf8')
    const held = [...text.matchAll(/^\/\/ node_modules\/zod\/v4\/locales\/(\S+)$/gm)].map(([, name]) => name)
    expect(held.filter((name) => name !== 'en.js' && name !== 'index.js')).toEqual([])
  })

  it('names each package that is in it, with its licence', () => {
    const licences = readFileSync(path.join(library, 'LICENSES'), 'utf8')
    for (const name of ['commander', 'yaml', 'zod']) expect(licences).toMatch(new RegExp(`^${name}$`, 'm'))
  })
})

interface Launch {
  readonly cacheFile: (file: string) => string
  readonly compile: (file: string, cache: Buffer) => { readonly cachedDataRejected?: boolean }
}
