import { closeSync, openSync, readFileSync } from 'node:fs'

/** Where the limit cannot be read: what macOS and old shells give. */
const assumedLimit = 256

/** How many descriptors this process may have open (the soft RLIMIT_NOFILE, which Node raises to the hard one). */
export function descriptorLimit(): number {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    const limit = line?.[1]
    if (limit === undefined) return assumedLimit
    return limit === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(limit)
  } catch {
    return assumedLimit
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
