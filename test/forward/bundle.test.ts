// What is in the one file of the forwarder and in the files of the other commands, and what their starts load: every package costs each
// start time, and each forwarder memory.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/children.ts'
import { compiled, freePort, tcpProxy } from '../support/tools.ts'

const bundle = readFileSync(tcpProxy, 'utf8')

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
    mkdirSync(path.dirname(file), { recursive: true })
    copyFileSync(tcpProxy, file)
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

/** The files that Node reads of a command before it runs it, and each module in them. */
function startOf(command: string): { readonly files: number; readonly modules: readonly string[] } {
  const found = new Map<string, string>()
  const read = (file: string) => {
    if (found.has(file)) return
    const text = readFileSync(file, 'utf8')
    found.set(file, text)
    const imports = [...text.matchAll(/^(?:import|export) ?(?:[^'"();]* from )?"(\.[^"]+)";$/gm)]
    for (const [, name = ''] of imports) read(path.resolve(path.dirname(file), name))
  }
  read(compiled(`src/cli/${command}.ts`))
  const modules = [...found.values()].flatMap((text) =>
    [...text.matchAll(/^ *\/\/ ((?:src|node_modules)\/\S+)$/gm)].map(([, file = '']) => file),
  )
  return { files: found.size, modules }
}

describe('The files of the other commands', () => {
  const parts = path.dirname(compiled('src/parts/x.ts'))

  it.for(['mcp-proxy', 'port-watchdog', 'proxy-ctl', 'proxy-log', 'proxy-monitor', 'proxy-status'])(
    '%s starts from few files, with no package but those that read words and take colours away',
    (command) => {
      const { files, modules } = startOf(command)
      expect(files).toBeLessThan(40)
      const packages = modules.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? [])
      expect(['ansi-regex', 'commander', 'strip-ansi']).toEqual(
        expect.arrayContaining([...new Set(packages)]),
      )
      expect(packages).toContain('commander')
    },
  )

  it('hold of zod only what is used: messages in one language', () => {
    const held = readdirSync(parts).flatMap((name) => [
      ...readFileSync(path.join(parts, name), 'utf8').matchAll(
        /^\/\/ node_modules\/zod\/v4\/locales\/(\S+)$/gm,
      ),
    ])
    expect([...new Set(held.map(([, language]) => language))]).toEqual(['en.js'])
  })

  it('name each package that is in them, with its licence', () => {
    const licences = readFileSync(path.join(parts, 'LICENSES'), 'utf8')
    for (const name of ['commander', 'yaml', 'zod']) expect(licences).toMatch(new RegExp(`^${name}$`, 'm'))
  })
})
