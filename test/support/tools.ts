import { execFile } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
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

/** The forwarder in the one file that users run. */
export const tcpProxy = freshBundle(join(checkout, 'dist', 'bin', 'tcp-proxy.cjs'))

/** A test of what the sources were yesterday would prove nothing. */
function freshBundle(file: string): string {
  const madeAt = existsSync(file) ? statSync(file).mtimeMs : 0
  const sources = join(checkout, 'src')
  for (const name of readdirSync(sources, { recursive: true, encoding: 'utf8' })) {
    const { mtimeMs } = statSync(join(sources, name))
    if (name.endsWith('.ts') && mtimeMs > madeAt)
      throw new Error(`src/${name} is newer than ${file}: run npm run build`)
  }
  return file
}

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
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 20_000,
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
    await new Promise((resolve) => setTimeout(resolve, 50))
  } while (performance.now() < deadline)
  throw new Error(`waited ${timeoutMs} ms in vain for ${what}`, { cause: lastError })
}
