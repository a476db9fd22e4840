import { execFileSync } from 'node:child_process'
import type { HeldListener } from '../backend.ts'

/** What `lsof` prints, one field a line; lsof(8), "OUTPUT FOR OTHER PROGRAMS". It shows other users' processes to root only. */
function lsof(words: readonly string[]): string {
  try {
    const env = { ...process.env, LC_ALL: 'C' }
    const argv = ['-w', '-nP', ...words]
    return execFileSync('lsof', argv, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] })
  } catch (error) {
    // It ends with 1 when some of what was asked for is not there; the rest is printed.
    const { stdout } = error as { stdout?: unknown }
    return typeof stdout === 'string' ? stdout : ''
  }
}

export function holdersOf(port: number): readonly HeldListener[] {
  const pids = new Map<string, Set<number>>()
  for (const { pid, address } of parseListeners(lsof([`-iTCP:${port}`, '-sTCP:LISTEN', '-Fpn']))) {
    pids.set(address, (pids.get(address) ?? new Set()).add(pid))
  }
  return [...pids].map(([address, found]) => {
    return { address, uid: undefined, pids: [...found].sort((a, b) => a - b) }
  })
}

/** Reads `lsof -Fpn` of listening TCP sockets, whose names are `*:80`, `127.0.0.1:80` or `[::1]:80`. */
export function parseListeners(text: string): { readonly pid: number; readonly address: string }[] {
  return parseNames(text).map(({ pid, name }) => {
    const host = name.slice(0, name.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1')
    return { pid, address: host === '*' ? '::' : host }
  })
}

/** Where these processes listen. */
export function listeningPorts(pids: readonly number[]): readonly number[] {
  if (pids.length === 0) return []
  const names = parseNames(lsof(['-a', '-p', pids.join(','), '-iTCP', '-sTCP:LISTEN', '-Fpn']))
  const ports = names.flatMap(({ name }) => /:(\d+)$/.exec(name)?.[1] ?? []).map(Number)
  return [...new Set(ports)].sort((a, b) => a - b)
}

/** Where a descriptor of this process listens. */
export function listeningPortOf(descriptor: number): number | undefined {
  const text = lsof([
    '-a',
    '-p',
    String(process.pid),
    '-d',
    String(descriptor),
    '-iTCP',
    '-sTCP:LISTEN',
    '-Fpn',
  ])
  const port = /:(\d+)$/.exec(parseNames(text)[0]?.name ?? '')?.[1]
  return port === undefined ? undefined : Number(port)
}

/** `cwd`: its working directory. `txt`: the file it runs, the first of those that it has mapped. */
export function fileOf(pid: number, what: 'cwd' | 'txt'): string | undefined {
  const name = parseNames(lsof(['-a', '-p', String(pid), '-d', what, '-Fpn']))[0]?.name
  return name?.startsWith('/') ? name.replace(/ \(deleted\)$/, '') : undefined
}

function parseNames(text: string): { readonly pid: number; readonly name: string }[] {
  const found: { pid: number; name: string }[] = []
  let pid = 0
  for (const line of text.split('\n')) {
    if (line.startsWith('p')) pid = Number(line.slice(1))
    if (line.startsWith('n')) found.push({ pid, name: line.slice(1) })
  }
  return found
}
