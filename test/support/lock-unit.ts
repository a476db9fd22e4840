import { spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { limitDefaults } from '../../src/config/resource-limits.ts'
import { type RestartPolicy, restartDefaults } from '../../src/config/restart-policy.ts'
import { system } from '../../src/os/system.ts'
import { identityOf, isExiting, judgeProcess } from '../../src/process/identity.ts'
import { describeEnd, type ProcessEnd } from '../../src/process/start.ts'
import { type ProcessSummary, summarize } from '../../src/process/summary.ts'
import type { Diagnosis, Fault, Probed, Start, StartOutcome, Unit } from '../../src/watch/unit.ts'

/**
 * The process of a trial unit: takes a lock that it removes only at an end in order, and answers on a socket who it is, and since when.
 * A file `slow` makes it take its time, a file `broken` ends it before it is ready.
 */
const keeper = `
const fs = require('node:fs'), net = require('node:net'), path = require('node:path')
const folder = process.argv[1], file = (name) => path.join(folder, name)
if (fs.existsSync(file('broken'))) process.exit(3)
try { fs.writeFileSync(file('lock'), String(process.pid), { flag: 'wx' }) } catch { console.log('taken'); process.exit(75) }
const since = Date.now()
fs.rmSync(file('socket'), { force: true })
const server = net.createServer((socket) => socket.end(JSON.stringify({ pid: process.pid, uptimeMs: Date.now() - since })))
server.listen(file('socket'), () => console.log('ready'))
process.on('SIGTERM', () => { fs.rmSync(file('lock'), { force: true }); process.exit(0) })
`

/** What the process says of itself. */
export interface LockHealth {
  readonly pid: number
  readonly uptimeMs: number
}

type LockFault =
  | { readonly code: 'no-keeper' | 'silent' }
  | { readonly code: 'left' | 'foreign'; readonly pid: number }
  | { readonly code: 'lock-taken'; readonly pid: number | undefined }
  | { readonly code: 'not-started'; readonly what: string }

/** What a trial unit is configured with. */
export interface LockConfiguration {
  readonly restart?: Partial<RestartPolicy>
  /** Whether its process goes on when the monitor ends. */
  readonly outlivesMonitor?: boolean
}

/** ms that the process may take to answer. */
const answerTakesMs = 3000

/**
 * A unit that is neither a forward nor a program: a process that keeps a lock and answers on a pipe. It has no control socket, no PID file,
 * no handover and no dependency.
 */
export class LockUnit implements Unit<LockHealth> {
  readonly kind = 'lock'
  readonly id: string
  readonly name: string
  readonly labels = {}
  readonly files
  readonly outlivesMonitor: boolean
  readonly policy
  readonly vocabulary
  readonly #folder: string

  constructor(name: string, folder: string, { restart, outlivesMonitor = true }: LockConfiguration = {}) {
    this.id = `lock-${name}`
    this.name = name
    this.files = { failures: `lock_${name}_failures` }
    this.#folder = folder
    this.outlivesMonitor = outlivesMonitor
    this.policy = { restart: { ...restartDefaults, ...restart }, limits: limitDefaults, drainMs: 500 }
    this.vocabulary = {
      process: 'keeper',
      place: { kind: 'lock', name },
      fault: (fault: Fault) => inWords(fault as LockFault),
    }
  }

  /** The process that the lock names. */
  get pid(): number | undefined {
    try {
      return Number(readFileSync(this.#file('lock'), 'utf8')) || undefined
    } catch {
      return undefined
    }
  }

  attach(): void {}

  start(): Start {
    const child = spawn(process.execPath, ['-e', keeper, this.#folder], {
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    child.unref()
    const { pid } = child
    const exited = new Promise<ProcessEnd>((resolve) => {
      child.on('exit', (code, signal) => {
        resolve(signal === null ? { kind: 'exited', code: code ?? 0 } : { kind: 'killed', signal })
      })
    })
    const said = new Promise<string>((resolve) =>
      child.stdout.once('data', (data) => resolve(String(data).trim())),
    )
    const outcome = Promise.race([said, exited.then(describeEnd)]).then((what): StartOutcome => {
      const identity = pid === undefined ? undefined : identityOf(pid)
      if (what === 'ready' && identity !== undefined) return { ok: true, identity }
      return what === 'taken'
        ? { ok: false, fault: lockFault({ code: 'lock-taken', pid: this.pid }), isBlocked: true }
        : { ok: false, fault: lockFault({ code: 'not-started', what }), isBlocked: false }
    })
    const identity = pid === undefined ? undefined : identityOf(pid)
    return { identity, outcome, exited, abandon: () => child.kill('SIGKILL') }
  }

  async probe(): Promise<Probed<LockHealth>> {
    const health = await this.#ask()
    return { diagnosis: this.#diagnose(health), health, optionsMatch: true, holder: this.findHolder() }
  }

  findHolder(): ProcessSummary | undefined {
    const { pid } = this
    return pid === undefined || identityOf(pid) === undefined ? undefined : summarize(pid)
  }

  removeStalePidFile(): void {
    const { pid } = this
    if (pid !== undefined && !this.#isKeeper(pid)) rmSync(this.#file('lock'), { force: true })
  }

  troubles(): readonly [] {
    return []
  }

  introduction({ pid }: LockHealth) {
    return [{ level: 'info', message: `${this.name} is kept by PID ${pid}`, good: true }] as const
  }

  record(health: LockHealth | undefined): Readonly<Record<string, unknown>> {
    return { keptForMs: health?.uptimeMs ?? null }
  }

  close(): void {}

  /** Gives the lock to a process of somebody else, or takes it back. */
  occupy(pid: number | undefined): void {
    if (pid === undefined) rmSync(this.#file('lock'), { force: true })
    else writeFileSync(this.#file('lock'), String(pid))
  }

  /** Whether its starts fail. */
  set isBroken(isBroken: boolean) {
    if (isBroken) writeFileSync(this.#file('broken'), '')
    else rmSync(this.#file('broken'), { force: true })
  }

  #diagnose(health: LockHealth | undefined): Diagnosis<LockFault> {
    const { pid } = this
    if (pid === undefined) return { condition: 'dead', fault: { code: 'no-keeper' } }
    // Looked at first: one that is dying has no command line any more, and is no stranger for that.
    const isKeeper = this.#isKeeper(pid)
    const identity = identityOf(pid)
    const isGone = identity === undefined || judgeProcess(identity) === 'zombie' || isExiting(identity)
    if (isGone) {
      const gone = { condition: 'dead', fault: { code: 'no-keeper' }, stale: { code: 'left', pid } } as const
      return identity === undefined ? gone : { ...gone, identity, isZombie: true }
    }
    if (!isKeeper) return { condition: 'unverifiable', fault: { code: 'foreign', pid } }
    if (health?.pid !== pid) return { condition: 'faulty', fault: { code: 'silent' }, identity }
    return { condition: 'healthy', process: { identity, uptimeMs: health.uptimeMs, supervisor: null } }
  }

  #isKeeper(pid: number): boolean {
    return system.commandLine(pid)?.includes(this.#folder) === true
  }

  #ask(): Promise<LockHealth | undefined> {
    return new Promise((resolve) => {
      const socket = connect(this.#file('socket'))
      let text = ''
      socket.setTimeout(answerTakesMs, () => socket.destroy())
      socket.on('data', (data) => {
        text += String(data)
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(text === '' ? undefined : (JSON.parse(text) as LockHealth)))
    })
  }

  #file(name: string): string {
    return path.join(this.#folder, name)
  }
}

const lockFault = (fault: LockFault): Fault => fault

function inWords(fault: LockFault): string {
  switch (fault.code) {
    case 'no-keeper':
      return 'has no keeper'
    case 'silent':
      return 'has a keeper that does not answer'
    case 'lock-taken':
      return `the lock is taken by PID ${fault.pid}`
    case 'not-started':
      return `it ${fault.what} before it was ready`
    case 'left':
      return `PID ${fault.pid} has left it`
    case 'foreign':
      return `PID ${fault.pid} has the lock and is no keeper`
  }
}
