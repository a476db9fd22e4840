import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import {
  cgroupOf,
  managerProgram,
  removeCgroups,
  userManagerCommand,
} from '../../scripts/lib/systemd-user.ts'
import { Resident } from './resident.ts'
import { checkout, type Finished, run, until } from './tools.ts'

/** What a manager's units rest on, and nothing else of what is installed for users of this machine. */
const baseTargets = ['basic', 'sockets', 'timers', 'paths', 'shutdown']

/** ms between two questions to systemctl: each takes three processes. */
const betweenOrdersMs = 200

/** systemd's real manager for services of a user, in namespaces of its own, with a home of its own. */
export class UserManager {
  readonly home = mkdtempSync(join(tmpdir(), 'pw-systemd-'))
  readonly units = join(this.home, 'units')
  /** Where services with StateDirectory=port-watchdog keep their records. */
  readonly stateDirectory = join(this.home, '.config', 'port-watchdog')
  #launcher: Resident | undefined
  #pid = ''

  static async start(): Promise<UserManager> {
    const manager = new UserManager()
    try {
      await manager.#start()
      return manager
    } catch (error) {
      await manager.remove()
      throw error
    }
  }

  /** Words that run a command as this manager's user would, in its namespaces: outside of them systemd is not booted. */
  command(...argv: string[]): string[] {
    const environment = [
      `HOME=${this.home}`,
      `XDG_RUNTIME_DIR=${join(this.home, 'run')}`,
      `XDG_CONFIG_HOME=${join(this.home, '.config')}`,
      `PORT_WATCHDOG_UNIT_DIR=${this.units}`,
    ]
    return ['nsenter', `--target=${this.#pid}`, '--mount', '--pid', 'env', ...environment, ...argv]
  }

  run(...argv: string[]): Promise<Finished> {
    return run(this.command(...argv), 60_000)
  }

  /** Runs `systemctl --user`. */
  ctl(...words: string[]): Promise<Finished> {
    return this.run('systemctl', '--user', ...words)
  }

  /** The same for an order that must be carried out. */
  async order(...words: string[]): Promise<void> {
    const { code, stderr } = await this.ctl(...words)
    if (code !== 0) throw new Error(`systemctl ${words.join(' ')}: exit code ${code}\n${stderr}`)
  }

  /** Properties of a unit, by name. */
  async show(unit: string, ...properties: string[]): Promise<Readonly<Record<string, string>>> {
    const { stdout } = await this.ctl('show', unit, ...properties.map((name) => `--property=${name}`))
    const lines = stdout.split('\n').filter((line) => line.includes('='))
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    )
  }

  /** Waits until the properties of a unit are these. */
  showWhen(unit: string, wanted: Readonly<Record<string, string>>, timeoutMs?: number): Promise<boolean> {
    return until(
      `${unit} with ${JSON.stringify(wanted)}`,
      async () => {
        const found = await this.show(unit, ...Object.keys(wanted))
        if (Object.entries(wanted).every(([name, value]) => found[name] === value)) return true
        throw new Error(JSON.stringify(found))
      },
      timeoutMs,
      betweenOrdersMs,
    )
  }

  write(unit: string, text: string): void {
    const file = join(this.units, unit)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }

  /** A record in the state directory of the services; empty while there is none. */
  record(name: string): string {
    return read(join(this.stateDirectory, name))
  }

  /** PIDs, as seen from outside, of a program of a unit. systemd tells those inside its namespace. */
  pids(unit: string, program: string): number[] {
    const [own = ''] = readFileSync(join(this.home, 'cgroups'), 'utf8').split('\n')
    return foldersNamed(own, unit)
      .flatMap((folder) => read(join(folder, 'cgroup.procs')).split('\n'))
      .filter((pid) => pid !== '' && read(`/proc/${pid}/cmdline`).includes(program))
      .map(Number)
  }

  /** The one PID of a program of a unit, as soon as there is one that is not `before`. */
  pid(unit: string, program: string, before?: number): Promise<number> {
    return until(`a process of ${unit}`, async () => {
      const [pid, ...more] = this.pids(unit, program).filter((one) => one !== before)
      if (more.length > 0) throw new Error(`several: ${pid}, ${more.join(', ')}`)
      return pid
    })
  }

  /** Ends everything that runs under this manager and takes it down. */
  async remove(): Promise<void> {
    if (this.#launcher !== undefined) {
      // Its PID namespace goes with it, and whatever runs there.
      await this.#launcher.stop('SIGKILL')
      removeCgroups(this.home)
    }
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 })
  }

  async #start(): Promise<void> {
    mkdirSync(this.units)
    for (const name of baseTargets) {
      copyFileSync(`/usr/lib/systemd/user/${name}.target`, join(this.units, `${name}.target`))
    }
    this.write('default.target', '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n')
    // Where systemctl enables units, and where the manager looks for them.
    mkdirSync(join(this.home, '.config', 'systemd'), { recursive: true })
    symlinkSync(this.units, join(this.home, '.config', 'systemd', 'user'))
    const launcher = new Resident(userManagerCommand(checkout, this.home), {})
    this.#launcher = launcher
    this.#pid = await until('the manager', async () => {
      // The launcher has its name among its words, too.
      const isIt = (pid: string) => read(`/proc/${pid}/cmdline`).startsWith(managerProgram)
      return readdirSync('/proc').find(
        (pid) => isIt(pid) && read(`/proc/${pid}/cgroup`).includes(`/${cgroupOf(this.home, launcher.pid)}/`),
      )
    })
    await until('the manager', async () => {
      const { stdout, stderr } = await this.ctl('is-system-running')
      if (stdout.trim() === 'running') return true
      throw new Error(`${stdout}${stderr}${launcher.output}`)
    })
  }
}

function foldersNamed(folder: string, name: string): string[] {
  if (folder.endsWith(`/${name}`)) return [folder]
  try {
    const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    return entries.flatMap((entry) => foldersNamed(join(folder, entry.name), name))
  } catch {
    // systemd has just removed it.
    return []
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Gives a test a manager of its own and takes it down after it. */
export async function withUserManager(use: (manager: UserManager) => Promise<void>): Promise<void> {
  const manager = await UserManager.start()
  try {
    await use(manager)
  } finally {
    await manager.remove()
  }
}
