import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Resident } from './resident.ts'
import { type Finished, killIfThere, run } from './tools.ts'

const FOLDER_PREFIX = 'pw-e2e-'

/** With the PID namespace, where there is /proc: whoever runs in another one cannot be seen from here, and may share /run/netns. */
const NAME_PREFIX = `${FOLDER_PREFIX}${pidNamespace()}-`

/** Two machines on one wire, as far as the kernel is concerned. */
export interface Lab {
  /** The machine with the Inspector, the forwards and the monitor. */
  readonly host: Machine
  /** The machine with the browser. */
  readonly visitor: Machine
  /** An empty folder that goes away with the lab. */
  readonly folder: string
  /** What every program started in the lab has said so far, for a failure's report. */
  story(): string
  /** Ends every process in the lab and takes the lab down. Never throws. */
  remove(): void
}

/** Addresses of a machine of the lab on the wire between the two. */
export interface Addresses {
  /** A private IPv4 address. */
  readonly ipv4: string
  /** A unique local IPv6 address. */
  readonly ipv6: string
  /** A public IPv4 address, of a range set aside for documentation. */
  readonly publicIpv4: string
}

const HOST: Addresses = { ipv4: '10.77.0.1', ipv6: 'fd77::1', publicIpv4: '203.0.113.6' }
const VISITOR: Addresses = { ipv4: '10.77.0.2', ipv6: 'fd77::2', publicIpv4: '203.0.113.5' }

/** What a test may do with one of the two machines. */
export class Machine {
  readonly name: string
  readonly address: Addresses
  readonly #residents: Resident[] = []

  constructor(name: string, address: Addresses) {
    this.name = name
    this.address = address
  }

  /** The words that run a command on this machine. */
  command(argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.name, ...argv]
  }

  /** Runs a command on this machine to its end. */
  run(argv: readonly string[]): Promise<Finished> {
    return run(this.command(argv))
  }

  /** Starts a program on this machine that stays. */
  start(argv: readonly string[], env: NodeJS.ProcessEnv = {}): Resident {
    const resident = new Resident(this.command(argv), env)
    this.#residents.push(resident)
    return resident
  }

  /** What the programs started here have said so far. */
  story(): string {
    return this.#residents.map(({ title, output }) => `--- ${title}\n${output}`).join('\n')
  }
}

/** Says why no lab can be built here; undefined when it can. */
export function whyNoLab(): string | undefined {
  try {
    buildLab().remove()
    return undefined
  } catch (error) {
    const asRoot = process.getuid?.() === 0 ? '' : '; run the tests as root'
    return `network namespaces cannot be made here (${String(error)})${asRoot}`
  }
}

/** How a lab may differ from a common one. */
export interface LabOptions {
  /** The host's /etc/hosts, for what `localhost` means there. */
  readonly hostsFile?: string
}

const COMMON_HOSTS_FILE = '127.0.0.1 localhost\n::1 localhost ip6-localhost\n'

const standing = new Set<Lab>()
let labsMade = 0

/** Builds a lab of its own, whatever other labs stand. */
export function buildLab({ hostsFile = COMMON_HOSTS_FILE }: LabOptions = {}): Lab {
  removeLeftovers()
  takeDownWhenInterrupted()
  const name = `${NAME_PREFIX}${process.pid}-${++labsMade}`
  const host = new Machine(`${name}-host`, HOST)
  const visitor = new Machine(`${name}-visitor`, VISITOR)
  const folder = mkdtempSync(join(tmpdir(), FOLDER_PREFIX))
  const lab: Lab = {
    host,
    visitor,
    folder,
    story: () => `${host.story()}\n${visitor.story()}`,
    remove() {
      standing.delete(lab)
      removeNamespace(host.name)
      removeNamespace(visitor.name)
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  standing.add(lab)
  try {
    addNamespace(host, hostsFile)
    addNamespace(visitor, COMMON_HOSTS_FILE)
    ip('link', 'add', 'veth0', 'netns', host.name, 'type', 'veth', 'peer', 'veth0', 'netns', visitor.name)
    for (const machine of [host, visitor]) addAddresses(machine)
  } catch (error) {
    lab.remove()
    throw error
  }
  return lab
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid').replaceAll(/\D/g, '')
  } catch {
    return '0'
  }
}

/** `ip netns exec` lays the files of /etc/netns/NAME over those of /etc: no name leaves the lab. */
function addNamespace(machine: Machine, hostsFile: string): void {
  mkdirSync(filesOf(machine.name), { recursive: true })
  writeFileSync(join(filesOf(machine.name), 'hosts'), hostsFile)
  writeFileSync(join(filesOf(machine.name), 'resolv.conf'), '')
  ip('netns', 'add', machine.name)
}

function addAddresses({ name, address }: Machine): void {
  ip('-n', name, 'link', 'set', 'lo', 'up')
  ip('-n', name, 'address', 'add', `${address.ipv4}/30`, 'dev', 'veth0')
  ip('-n', name, 'address', 'add', `${address.publicIpv4}/30`, 'dev', 'veth0')
  ip('-n', name, 'address', 'add', `${address.ipv6}/64`, 'dev', 'veth0', 'nodad')
  ip('-n', name, 'link', 'set', 'veth0', 'up')
}

function ip(...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr}`)
  return stdout
}

/** Kills what runs in the namespace, which only the lab's own processes do, and deletes it. */
function removeNamespace(name: string): void {
  for (let round = 0; round < 50; round++) {
    const pids = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' })
      .stdout.split('\n')
      .filter(Boolean)
    if (pids.length === 0) break
    for (const pid of pids) killIfThere(Number(pid))
  }
  spawnSync('ip', ['netns', 'delete', name])
  try {
    rmSync(filesOf(name), { recursive: true, force: true })
  } catch {
    // Not ours to write in, so nothing was written there.
  }
}

function filesOf(name: string): string {
  return join('/etc/netns', name)
}

/** Labs of test processes of this PID namespace that were killed before they could take them down. */
function removeLeftovers(): void {
  for (const line of ip('netns', 'list').split('\n')) {
    const name = line.split(' ')[0] ?? ''
    const owner = new RegExp(`^${NAME_PREFIX}(\\d+)-`).exec(name)?.[1]
    if (owner !== undefined && !readdirSync('/proc').includes(owner)) removeNamespace(name)
  }
}

let watchingForInterrupts = false

/** Ctrl-C and a runner's time limit end the process without its `after` hooks. */
function takeDownWhenInterrupted(): void {
  if (watchingForInterrupts) return
  watchingForInterrupts = true
  process.once('exit', takeDownAll)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      takeDownAll()
      process.kill(process.pid, signal)
    })
  }
}

function takeDownAll(): void {
  for (const lab of standing) lab.remove()
}
