import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

/** Where nothing tells the limit: what macOS and old shells give. */
const assumedLimit = 256

/** OPEN_MAX of macOS, where a limit may be called unlimited and the kernel has one all the same. */
const portableUnlimited = 10_240

/** How many descriptors this process may have open (the soft RLIMIT_NOFILE, which Node raises to the hard one). */
export function descriptorLimit(): number {
  return limitFromProc() ?? limitFromShell() ?? assumedLimit
}

function limitFromProc(): number | undefined {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    const limit = line?.[1]
    if (limit === undefined) return undefined
    return limit === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(limit)
  } catch {
    return undefined
  }
}

/** Where there is no /proc: a shell inherits the limit and tells it. Undefined when it cannot be run. */
export function limitFromShell(): number | undefined {
  try {
    const said = execFileSync('/bin/sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim()
    if (said === 'unlimited') return portableUnlimited
    return /^\d+$/.test(said) ? Number(said) : undefined
  } catch {
    return undefined
  }
}

/** Whether this process can open a handful more descriptors. The limit alone does not tell: the whole machine has one, too. */
export function hasDescriptorsLeft(): boolean {
  const opened: number[] = []
  try {
    for (let count = 0; count < 6; count++) opened.push(openSync('/dev/null', 'r'))
    return true
  } catch {
    return false
  } finally {
    for (const descriptor of opened) closeSync(descriptor)
  }
}
