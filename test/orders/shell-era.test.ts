import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { forwardersOf, healthyAs } from '../support/monitored.ts'
import { checkout, freePort, until } from '../support/tools.ts'
import { command, echoServer, type Watched, withWatched } from '../support/watched.ts'

interface Row {
  readonly to: string
  readonly before: string
  readonly now: string
}

/** The table of docs/proxy-ctl.md. */
function rows(): Row[] {
  const page = readFileSync(path.join(checkout, 'docs', 'proxy-ctl.md'), 'utf8')
  const section = page.split('## The shell scripts, line by line')[1] ?? ''
  return section
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1)
    .map((line) => {
      const [to = '', before = '', now = ''] = line
        .slice(2)
        .split(/(?<!\\)\| /)
        .map((cell) => cell.replace(/\|$/, '').trim().replaceAll('\\|', '|'))
      return { to, before, now }
    })
    .filter(({ to }) => !/^-+$/.test(to))
}

/** The commands in a cell. */
function commandsIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text)
}

/** A machine on which the commands are installed, two forwards are configured, and their ports are those of the manual. */
class Machine {
  readonly #ports: ReadonlyMap<string, number>
  readonly #environment: NodeJS.ProcessEnv
  readonly #folder: string

  constructor(watched: Watched, ports: ReadonlyMap<string, number>, target: number) {
    this.#ports = ports
    this.#folder = watched.file('home')
    const programs = watched.file('bin')
    mkdirSync(this.#folder)
    mkdirSync(programs)
    for (const name of ['proxy-ctl', 'proxy-log', 'proxy-monitor', 'proxy-status', 'tcp-proxy']) {
      symlinkSync(command(name)[1] ?? '', path.join(programs, name))
    }
    const forwards = [...ports.values()].map((listen, i) => {
      return { name: i === 0 ? 'inspector' : 'inspector-proxy', listen, target: `localhost:${target}` }
    })
    const alerts = { channels: [{ type: 'command', name: 'note', command: ['true'] }] }
    writeFileSync(path.join(this.#folder, 'port-watchdog.yaml'), JSON.stringify({ forwards, alerts }))
    this.#environment = {
      ...process.env,
      HOME: this.#folder,
      XDG_STATE_HOME: path.dirname(watched.directory),
      PATH: `${programs}:${process.env.PATH}`,
    }
  }

  /** Runs a line as it stands in the manual, in a shell. What never ends by itself is ended when it has printed something. */
  run(line: string): Promise<{ code: number | null; output: string }> {
    const text = [...this.#ports].reduce((all, [from, to]) => all.replaceAll(from, String(to)), line)
    const neverEnds = / -f$|^tcp-proxy /.test(text)
    // The monitor itself goes on when the shell has ended.
    const child = spawn('sh', ['-c', neverEnds ? `exec ${text}` : text], {
      cwd: this.#folder,
      env: this.#environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    const heard = (chunk: Buffer) => {
      const isFirst = output === ''
      output += String(chunk)
      // Once: a second signal ends a process that is ending already.
      if (neverEnds && isFirst) child.kill('SIGTERM')
    }
    child.stdout.on('data', heard)
    child.stderr.on('data', heard)
    return new Promise((resolve) => child.on('exit', (code) => resolve({ code, output })))
  }
}

describe('The manual of the shell scripts', () => {
  it('has a counterpart for each line, none longer than the line itself by more than a word', () => {
    const all = rows()
    expect(all.length).toBeGreaterThan(20)
    for (const { before, now } of all) {
      const [old] = commandsIn(before)
      const [own] = commandsIn(now).slice(-1)
      if (old === undefined || own === undefined) continue
      expect(own.split(' ').length, own).toBeLessThanOrEqual(old.split(' ').length + 1)
    }
  })

  it('and each of them does its work', { timeout: 240_000 }, () =>
    withWatched(async (outer) => {
      const echo = await echoServer()
      const ports = new Map([
        ['6274', await freePort()],
        ['6277', await freePort()],
      ])
      const [first = 0, second = 0] = ports.values()
      // The state directory that the commands find by themselves.
      const directory = path.join(outer.directory, 'port-watchdog')
      mkdirSync(directory, { mode: 0o700 })
      const watched = Object.assign(Object.create(outer), { directory }) as Watched
      const machine = new Machine(watched, ports, echo.port)
      const done: string[] = []
      try {
        for (const { to, now } of rows()) {
          if (to.startsWith('try one proxy'))
            await until(
              'the port is free',
              async () => forwardersOf(watched, first).length === 0 || undefined,
            )
          for (const line of commandsIn(now)) {
            const { code, output } = await machine.run(line)
            done.push(`${line}\n${output}`)
            const expected = /^proxy-status$/.test(line) ? [0, 3] : [0]
            expect(expected, `${done.join('\n')}\n${line}: ${code}`).toContain(code)
            if (line.startsWith('nohup proxy-monitor')) {
              await healthyAs(watched, first, 0, 60_000)
              await healthyAs(watched, second, 0, 60_000)
            }
          }
        }
        const report = done.join('\n')
        expect(report).toMatch(/inspector +healthy +\d+/)
        expect(report).toMatch(/✓ inspector-proxy +down/)
        expect(report).toMatch(/✓ inspector-proxy +running/)
        expect(report).toContain('note: delivered')
        expect(report).toMatch(/The monitor has ended/)
        expect(forwardersOf(watched, second)).toEqual([])
      } finally {
        await machine.run('proxy-ctl stop-monitor --stop-forwards')
        await echo.close()
      }
    }),
  )
})
