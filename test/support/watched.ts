import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StatusReport } from '../../src/record/shapes/status-report.ts'
import { fileNames } from '../../src/record/state-directory.ts'
import { assess } from '../../src/report/assess.ts'
import { gather } from '../../src/report/gather.ts'
import { processesWith } from './process-table.ts'
import { Resident } from './resident.ts'
import { checkout, type Finished, killIfThere, run, tcpProxy, until } from './tools.ts'

/** The words that run one of this project's commands. */
export function command(name: string, ...words: string[]): string[] {
  return [
    process.execPath,
    name === 'tcp-proxy' ? tcpProxy : join(checkout, 'dist', 'bin', `${name}.cjs`),
    ...words,
  ]
}

/** A server on loopback that sends back what it gets. */
export async function echoServer(
  port = 0,
): Promise<{ port: number; server: Server; close(): Promise<void> }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  // A test that fails before it closes this must not hold its file open.
  server.unref()
  const close = async () => {
    server.close()
    await once(server, 'close')
  }
  return { port: (server.address() as AddressInfo).port, server, close }
}

/** Sends a line through a port of this machine and gives what comes back; an error's code when nothing does. */
export function askThrough(port: number, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, autoSelectFamily: false })
    let answer = ''
    socket.setEncoding('utf8')
    socket.on('data', (text) => {
      answer += text
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.on('close', () => resolve(answer))
    socket.end('hello')
  })
}

/** What is another text after each write of the monitor. */
function newsIn(directory: string): string {
  const state = statSync(join(directory, fileNames.runtimeState), { throwIfNoEntry: false })
  return `${state?.ino} ${state?.mtimeMs}`
}

/** ms after which the status is looked at again though the monitor has written nothing new: what else it is made of may have changed. */
const anotherLookMs = 500

/** A state directory of its own, with whatever runs in it; `remove` ends all of that. */
export class Watched {
  readonly directory = mkdtempSync(join(tmpdir(), 'pw-test-'))
  readonly #residents: Resident[] = []

  start(name: string, ...words: string[]): Resident {
    return this.adopt(new Resident([...command(name, ...words), '--state-dir', this.directory], {}))
  }

  /** Takes a program into those that are ended with everything else. */
  adopt(resident: Resident): Resident {
    this.#residents.push(resident)
    return resident
  }

  /** Starts the monitor and waits until it has started everything it watches. */
  async monitor(forwards: readonly object[], ...words: string[]): Promise<Resident> {
    const configuration = join(this.directory, 'configuration.json')
    writeFileSync(
      configuration,
      JSON.stringify({ restart: { resetAfter: 0, flappingRestarts: 0 }, forwards }),
    )
    const monitor = this.start('proxy-monitor', '--config', configuration, ...words)
    await monitor.line(/Monitor started/)
    return monitor
  }

  run(name: string, ...words: string[]): Promise<Finished> {
    return run([...command(name, ...words), '--state-dir', this.directory])
  }

  /** The status, looked at as `proxy-status` does, without a process for each look: those took a sixth of the processor time of all tests. */
  async status(memory = {}): Promise<StatusReport> {
    return assess(await gather(this.directory, { memory }))
  }

  /** Looks again and again until the status is as wanted: when the monitor has written news, and now and then without any. */
  statusWhen(
    what: string,
    isWanted: (report: StatusReport) => boolean,
    timeoutMs = 20_000,
  ): Promise<StatusReport> {
    const memory = {}
    let seen = { news: '', at: Number.NEGATIVE_INFINITY }
    let last: Error | undefined
    return until(
      what,
      async () => {
        const news = newsIn(this.directory)
        // A look takes a hundred times as long as this.
        if (news === seen.news && performance.now() < seen.at + anotherLookMs) throw last
        seen = { news, at: performance.now() }
        const report = await this.status(memory)
        if (isWanted(report)) return report
        last = new Error(JSON.stringify(report, null, 1))
        throw last
      },
      timeoutMs,
      25,
    )
  }

  file(name: string): string {
    return join(this.directory, name)
  }

  pid(port: number): number {
    return Number(readFileSync(this.file(`tcp_proxy_${port}.pid`), 'utf8').split('\n')[0])
  }

  log(): string {
    return readFileSync(this.file('proxy_monitor.log'), 'utf8')
  }

  /** Waits until a line like this stands in the monitor's log. */
  logLine(pattern: RegExp, timeoutMs = 20_000): Promise<string> {
    return until(
      `a line like ${pattern} in the log`,
      async () => {
        const found = pattern.exec(this.log())?.[0]
        if (found !== undefined) return found
        throw new Error(this.log())
      },
      timeoutMs,
    )
  }

  /** PIDs of the forwarders that run with this state directory, from the process table itself. */
  async forwarders(): Promise<number[]> {
    return processesWith(this.directory, 'tcp-proxy.cjs')
  }

  async remove(): Promise<void> {
    for (const resident of this.#residents) {
      resident.stop('SIGCONT')
      await resident.stop('SIGKILL')
    }
    // Forwarders, and servers of MCP, which may have lost their monitor.
    for (const pid of processesWith(this.directory, '-proxy.cjs')) killIfThere(pid)
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Gives a test a state directory of its own and takes everything down after it. */
export async function withWatched(use: (watched: Watched) => Promise<void>): Promise<void> {
  const watched = new Watched()
  try {
    await use(watched)
  } finally {
    await watched.remove()
  }
}
