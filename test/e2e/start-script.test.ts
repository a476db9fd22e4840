// scripts/start, as a newcomer runs it in a clone: on a machine of its own, because its ports are the Inspector's.
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StatusReport } from '../../src/record/shapes/status-report.ts'
import { buildLab, type Lab, whyNoLab } from '../support/namespaces.ts'
import type { Resident } from '../support/resident.ts'
import { checkout, type Finished, until } from '../support/tools.ts'

const obstacle = whyNoLab()
const ports = [6274, 6275, 6277]

interface Clone {
  readonly lab: Lab
  readonly state: string
  start(...words: readonly string[]): Resident
  run(...words: readonly string[]): Promise<Finished>
  status(): Promise<StatusReport>
}

/** What git would bring, with the dependencies of this checkout. Nothing is built. */
function makeClone(lab: Lab): void {
  const folder = cloneOf(lab)
  const left = ['.cache', '.git', 'coverage', 'dist', 'node_modules'].map((name) => path.join(checkout, name))
  cpSync(checkout, folder, { recursive: true, filter: (source) => !left.includes(source) })
  const modules = path.join(folder, 'node_modules')
  mkdirSync(modules)
  for (const name of readdirSync(path.join(checkout, 'node_modules')))
    if (name !== '.installed')
      symlinkSync(path.join(checkout, 'node_modules', name), path.join(modules, name))
  cpSync(path.join(folder, 'package-lock.json'), path.join(modules, '.installed'))
}

const cloneOf = ({ folder }: Lab) => path.join(folder, 'a clone')

/** The clone, with a state directory of its own. */
async function withClone(lab: Lab, use: (clone: Clone) => Promise<void>): Promise<void> {
  const state = mkdtempSync(path.join(lab.folder, 'state-'))
  const script = ['bash', path.join(cloneOf(lab), 'scripts', 'start')]
  await use({
    lab,
    state,
    start: (...words) => lab.host.start([...script, '--state-dir', state, ...words]),
    run: (...words) => lab.host.run([...script, ...words]),
    status: async () => {
      const program = path.join(cloneOf(lab), 'dist', 'bin', 'proxy-status.cjs')
      const { stdout } = await lab.host.run([process.execPath, program, '--json', '--state-dir', state])
      return JSON.parse(stdout) as StatusReport
    },
  })
}

/** Ends it as Ctrl-C does at a terminal, and makes sure that it leaves nothing running. */
async function interrupt({ lab }: Clone, started: Resident): Promise<void> {
  expect(await started.stop('SIGINT')).toBe(0)
  await until('nothing runs any more', async () => processesOf(lab).length === 0 || undefined)
}

/** Programs that run from the clone, or with its state directory. */
function processesOf({ folder }: Lab): string[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, 'utf8')
      return words.includes(folder) ? [words.replaceAll('\0', ' ')] : []
    } catch {
      return []
    }
  })
}

/** Makes room for a program in the place of the Inspector 1.x that the script would fetch, and of the Node that it would fetch for it. */
function withoutFetching(lab: Lab): (program: string) => void {
  const folder = cloneOf(lab)
  const versions = readFileSync(path.join(folder, 'scripts', 'lib', 'tool-versions'), 'utf8')
  const version = (name: string) => new RegExp(`^${name}=\\S+@(.+)$`, 'm').exec(versions)?.[1] ?? ''
  const node = `node-${process.platform}-${process.arch}`
  const tools = [
    ['inspector-1', `@modelcontextprotocol/inspector@${version('inspector_1_package')}`],
    ['node-22', `${node}@${version('node_22_package')}`],
  ] as const
  for (const [name, fetched] of tools) {
    mkdirSync(path.join(folder, '.cache', name), { recursive: true })
    writeFileSync(path.join(folder, '.cache', name, '.fetched'), `${fetched}\n`)
  }
  const bin = path.join(folder, '.cache', 'node-22', 'node_modules', node, 'bin')
  mkdirSync(bin, { recursive: true })
  symlinkSync(process.execPath, path.join(bin, 'node'))
  const inspector = path.join(
    folder,
    '.cache/inspector-1/node_modules/@modelcontextprotocol/inspector/cli/build',
  )
  mkdirSync(inspector, { recursive: true })
  return (program) => writeFileSync(path.join(inspector, 'cli.js'), program)
}

const serving = (...on: number[]) => `
  const { createServer } = require('node:http')
  for (const port of ${JSON.stringify(on)}) createServer((_, answer) => answer.end('page')).listen(port, '127.0.0.1')`

describe.skipIf(obstacle !== undefined)('scripts/start in a clone', { timeout: 300_000 }, () => {
  // The first test finds nothing built; the others find what it has built, as the newcomer does the next day.
  let lab: Lab
  let inspectorIs: (program: string) => void
  beforeAll(() => {
    lab = buildLab()
    makeClone(lab)
    inspectorIs = withoutFetching(lab)
  })
  afterAll(() => lab?.remove())

  it('builds, watches the ports of the Inspector, and Ctrl-C ends everything', () =>
    withClone(lab, async (clone) => {
      const started = clone.start()
      await started.line(/Monitor started \(PID: \d+\), watching 6274, 6275, 6277/, 200_000)
      const { ipv4 } = clone.lab.host.address
      for (const port of ports) await started.line(new RegExp(`is open to other machines: .*${ipv4}:${port}`))
      const { forwards, exitCode } = await clone.status()
      expect(forwards.map(({ port, state, gateToken }) => [port, state, gateToken])).toEqual(
        ports.map((port) => [port, 'waiting', null]),
      )
      expect(exitCode).toBe(0)
      await interrupt(clone, started)
    }))

  it('--gate puts a login in front of each of them', () =>
    withClone(lab, async (clone) => {
      const started = clone.start('--gate')
      const { ipv4 } = clone.lab.host.address
      for (const port of ports)
        await started.line(new RegExp(`is open to other machines: .*${ipv4}:${port}`), 200_000)
      for (const port of ports) {
        const words = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', `http://${ipv4}:${port}/`]
        expect((await clone.lab.visitor.run(words)).stdout).toBe('401')
      }
      expect((await clone.status()).forwards.every(({ gateToken }) => gateToken !== null)).toBe(true)
      await interrupt(clone, started)
    }))

  it('--with-inspector prints once where to go, and ends the Inspector, too', () =>
    withClone(lab, async (clone) => {
      inspectorIs(serving(6274, 6277))
      const started = clone.start('--with-inspector=1')
      await started.line(/✓ MCP Inspector 1\.\S+ is ready after \d+ s/, 200_000)
      await started.line(/end {2}Ctrl-C/)
      const { ipv4 } = clone.lab.host.address
      const block = started.output.slice(started.output.indexOf('✓ MCP Inspector'))
      expect(block).toMatch(new RegExp(`open +http://${ipv4}:6274/\\?MCP_PROXY_AUTH_TOKEN=\\S{20,}\n`))
      expect(block).toContain(`token   in the file ${clone.state}/gate_token\n`)
      expect(block).toContain(`status  dist/bin/proxy-status.cjs --state-dir ${clone.state}  `)
      const { programs, forwards } = await clone.status()
      expect(programs).toMatchObject([{ name: 'mcp-inspector', state: 'healthy', port: 6274 }])
      expect(forwards.map(({ gateToken }) => gateToken === null)).toEqual([false, false])
      await interrupt(clone, started)
    }))

  it('says that the Inspector has ended, and ends', () =>
    withClone(lab, async (clone) => {
      inspectorIs(`console.log('no room'); process.exit(3)`)
      const started = clone.start('--with-inspector=1')
      await started.line(/the Inspector has ended/, 200_000)
      await started.line(/no room/)
      expect(await started.ended()).toBe(69)
      expect(processesOf(clone.lab)).toEqual([])
    }))

  it('refuses what it does not understand, with a code that says so', () =>
    withClone(lab, async (clone) => {
      const mistakes: readonly (readonly [code: number, said: RegExp, ...words: string[]])[] = [
        [64, /--with-inspector takes 1 or 2, not "3"/, '--with-inspector=3'],
        [64, /--gate and --no-gate exclude each other/, '--gate', '--no-gate'],
        [64, /unknown option '--nonsense'/, '--nonsense'],
        [78, /nothing\.yaml/, '--config', '/nothing.yaml'],
      ]
      for (const [code, said, ...words] of mistakes) {
        const finished = await clone.run(...words)
        expect(finished.stderr).toMatch(said)
        expect(finished.code, words.join(' ')).toBe(code)
      }
      const help = await clone.run('--help')
      expect([help.code, help.stdout]).toEqual([0, expect.stringMatching(/^scripts\/start \[--gate\]/)])
    }))
})
