import { closeSync, openSync } from 'node:fs'
import { system } from './system.ts'

/** Where nothing tells the limit: what macOS and old shells give. */
const assumedLimit = 256

/** OPEN_MAX of macOS, where a limit may be called unlimited and the kernel has one all the same. */
const portableUnlimited = 10_240

/** How many descriptors this process may have open (the soft RLIMIT_NOFILE, which Node raises to the hard one). */
export function descriptorLimit(): number {
  return system.descriptorLimit() ?? limitFromShell() ?? assumedLimit
}

/** A shell inherits the limit and tells it. Undefined when it cannot be run. */
export function limitFromShell(): number | undefined {
  try {
    // Loaded only here: a forwarder on Linux starts without it.
    const { execFileSync } = process.getBuiltinModule('node:child_process')
    const said = execFileSync('/bin/sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim()
    if (said === 'unlimited') return portableUnlimited
    return /^\d+$/.test(said) ? Number(said) : undefined
  } catch {
    return undefined
  }
}

/** ms for which they count as left: a round asks for each of its units. */
const leftForMs = 10

let leftUntil = 0

/** Whether this process can open a handful more descriptors. The limit alone does not tell: the whole machine has one, too. */
export function hasDescriptorsLeft(): boolean {
  if (performance.now() < leftUntil) return true
  const opened: number[] = []
  try {
    for (let count = 0; count < 6; count++) opened.push(openSync('/dev/null', 'r'))
    leftUntil = performance.now() + leftForMs
    return true
  } catch {
    return false
  } finally {
    for (const descriptor of opened) closeSync(descriptor)
  }
}
