import { execFile } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout: the nearest folder upwards that holds package.json, from the source as from dist/. */
export const checkout = findCheckout(dirname(fileURLToPath(import.meta.url)))

function findCheckout(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder
  const parent = dirname(folder)
  if (parent === folder) throw new Error('no package.json above the tests')
  return findCheckout(parent)
}

/** The compiled file of a source, for tests that start it as a process: `compiled('src/cli/proxy-log.ts')`. */
export function compiled(source: string): string {
  return join(checkout, 'dist', source.replace(/\.ts$/, '.js'))
}

/**
 * For the `skip` of a test: whether there is a reason to leave it out, which is then printed, so that nobody takes a test that
 * did not run for one that passed.
 */
export function skipFor(reason: string | false | undefined): boolean {
  if (!reason) return false
  console.error(`NOT TESTED: ${reason}`)
  return true
}

/** The forwarder in the one file that users run. */
export const tcpProxy = join(checkout, 'dist', 'bin', 'tcp-proxy.cjs')

/** A file of a package that scripts/install-test-tools has fetched into .cache/. */
export function cached(name: string, ...path: string[]): string {
  const file = join(checkout, '.cache', name, 'node_modules', ...path)
  if (!existsSync(file)) throw new Error(`${file} is missing: run scripts/install-test-tools`)
  return file
}

/** A Node that is new enough for the Inspector (22.19): the one at hand, else the fetched one. */
export function nodeForInspector(): string {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 19)) return process.execPath
  return cached('node-22', `node-${process.platform}-${process.arch}`, 'bin', 'node')
}

// Processes that run tests at once must not be given the same port between the look and its use. Each has a slice of its own, below the
// ports that the kernel gives away by itself, and listens on the slice's first port for as long as it lives.
const slice = 1000
const firstSlice = 10_000
const lastSlice = 30_000
let ownSlice: Promise<number> | undefined
let nextPort = Math.floor(Math.random() * (slice - 1))

async function takeSlice(): Promise<number> {
  for (let first = firstSlice; first <= lastSlice; first += slice) {
    const guard = await listenOn(first)
    guard?.unref()
    if (guard !== undefined) return first
  }
  throw new Error('other processes that run tests have all slices of ports')
}

/** Undefined when somebody has the port on any address. */
function listenOn(port: number): Promise<Server | undefined> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined))
    server.listen(port, () => resolve(server))
  })
}

/** A port that nobody has on any address, and that neither the kernel nor another process that runs tests will take. */
export async function freePort(): Promise<number> {
  ownSlice ??= takeSlice()
  const first = await ownSlice
  for (;;) {
    nextPort = (nextPort + 1) % (slice - 1)
    const port = first + 1 + nextPort
    const server = await listenOn(port)
    if (server === undefined) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** What a finished command said. */
export interface Finished {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end; a non-zero exit is an answer, not an error. */
export function run(argv: readonly string[], timeoutMs = 60_000): Promise<Finished> {
  const [file = '', ...args] = argv
  return new Promise((resolve, reject) => {
    execFile(file, args, { timeout: timeoutMs, cwd: checkout }, (error, stdout, stderr) => {
      if (error && (error.killed === true || typeof error.code !== 'number')) {
        const why = error.killed ? `was still running after ${timeoutMs} ms` : error.message
        reject(new Error(`${argv.join(' ')}: ${why}\n${stdout}${stderr}`))
      } else {
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr })
      }
    })
  })
}

/**
 * Asks again and again until the answer is not undefined, and gives that answer.
 * `probe` may throw: then the last error is told when time is up.
 * @param pauseMs between two questions; longer where each starts a process.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 20_000,
  pauseMs = 50,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  let lastError: unknown
  do {
    try {
      const answer = await probe()
      if (answer !== undefined) return answer
    } catch (error) {
      lastError = error
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  } while (performance.now() < deadline)
  throw new Error(`waited ${timeoutMs} ms in vain for ${what}`, { cause: lastError })
}

/** ms for which a test waits at most for what is told by an event: far above what it takes, far below the limit of a test. */
const eventWithinMs = 30_000

/** Waits for what is told by an event. @param seen says what came in its stead, when nothing does in time. */
export async function inTime<T>(
  event: Promise<T>,
  seen: () => string,
  withinMs: number = eventWithinMs,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${withinMs} ms in vain; ${seen()}`)), withinMs)
  })
  try {
    return await Promise.race([event, late])
  } finally {
    clearTimeout(timer)
  }
}

/** One step of a long way. When it fails, the way ends there: the later ones could only wait in vain. */
export async function step(name: string, take: () => Promise<unknown>): Promise<void> {
  try {
    await take()
  } catch (error) {
    throw new Error(`the step failed: ${name}`, { cause: error })
  }
}

/** Kills a process that may have ended by itself since it was found. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Removes a folder whose owner may write into it meanwhile, as a person does who tries again. */
export function removeInUse(folder: string): void {
  for (let tries = 1; ; tries++) {
    try {
      return rmSync(folder, { recursive: true, force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY' || tries === 1000) throw error
    }
  }
}
