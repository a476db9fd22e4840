import { execFile } from 'node:child_process'
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { Resident } from './resident.ts'
import { freePort, killIfThere } from './tools.ts'

const installed = '/usr/lib/postgresql'

/** Why no PostgreSQL can run here; undefined = it can. */
export function noPostgres(): string | undefined {
  return programs() === undefined
    ? `no PostgreSQL in ${installed}: run scripts/install-test-tools`
    : undefined
}

function programs(): string | undefined {
  try {
    const [newest] = readdirSync(installed).sort((a, b) => Number(b) - Number(a))
    return newest === undefined ? undefined : path.join(installed, newest, 'bin')
  } catch {
    return undefined
  }
}

/** The password of its superuser `postgres`: nothing that a gateway writes may hold it. */
export const canary = 'canary-2b9f51d07c'

/** A real PostgreSQL of this test alone, on loopback. It refuses to run as root, so there it runs as the user that its package has made. */
export class Postgres {
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'pg-'))
  readonly #data = path.join(this.#folder, 'data')
  readonly #port: number
  #server: Resident | undefined

  private constructor(port: number) {
    this.#port = port
  }

  static async begin(): Promise<Postgres> {
    const postgres = new Postgres(await freePort())
    await postgres.#initialize()
    await postgres.start()
    return postgres
  }

  /** Of a database as its superuser, or as somebody else. */
  url(database = 'postgres', user = `postgres:${canary}`): string {
    return `postgres://${user}@127.0.0.1:${this.#port}/${database}`
  }

  async #initialize(): Promise<void> {
    const passwordFile = path.join(this.#folder, 'password')
    writeFileSync(passwordFile, canary)
    for (const file of [this.#folder, passwordFile]) if (isRoot) chownSync(file, ...owner())
    const words = ['-D', this.#data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
    const quick = ['-N', '--no-instructions', '--locale=C', '-E', 'UTF8']
    const [program = '', ...rest] = asOwner('initdb', ...words, ...quick)
    await promisify(execFile)(program, rest, { cwd: this.#folder })
  }

  async start(): Promise<void> {
    const settings = { fsync: 'off', listen_addresses: '127.0.0.1', shared_buffers: '2MB', autovacuum: 'off' }
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const words = ['-D', this.#data, '-p', String(this.#port), '-k', this.#folder, ...options]
    const server = new Resident(asOwner('postgres', ...words), {})
    this.#server = server
    await server.line(/ready to accept connections/)
  }

  /** Its main process dies without a word, and its others with it. */
  async kill(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    killIfThere(server.pid)
    // The next one cannot start before the last of them has gone.
    await server.ended()
  }

  /** All of its processes stand still: it takes connections and answers nothing. @param signal SIGCONT = they go on. */
  freeze(signal: 'SIGSTOP' | 'SIGCONT' = 'SIGSTOP'): void {
    const server = this.#server
    if (server === undefined) return
    const isOfServer = (pid: number) => {
      try {
        // The name of a process of PostgreSQL has no brackets.
        return (
          readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[1] === String(server.pid)
        )
      } catch {
        return false
      }
    }
    const children = readdirSync('/proc').map(Number).filter(isOfServer)
    for (const pid of [server.pid, ...children]) process.kill(pid, signal)
  }

  /** Carries out statements as the superuser, and gives the rows of the last one. */
  async sql<Row extends pg.QueryResultRow>(text: string, database?: string): Promise<readonly Row[]> {
    const client = new pg.Client({ connectionString: this.url(database) })
    await client.connect()
    try {
      // Several statements have several results, which the types do not know.
      const results = [await client.query<Row>(text)].flat()
      return results.at(-1)?.rows ?? []
    } finally {
      await client.end()
    }
  }

  async remove(): Promise<void> {
    await this.#server?.stop('SIGQUIT')
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

const isRoot = process.getuid?.() === 0

/** The words that run a program of PostgreSQL as somebody who is not root. */
function asOwner(program: string, ...words: string[]): string[] {
  const file = path.join(programs() ?? installed, program)
  if (!isRoot) return [file, ...words]
  const [uid, gid] = owner()
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', file, ...words]
}

/** Who its package runs it as. */
function owner(): [uid: number, gid: number] {
  const line = /^postgres:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'))
  return [Number(line?.[1] ?? 65_534), Number(line?.[2] ?? 65_534)]
}
