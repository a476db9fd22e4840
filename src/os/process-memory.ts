import { readFileSync } from 'node:fs'

/**
 * Bytes of memory that a process uses: its proportional set size (PSS) with what of it is swapped out. A page that several processes share
 * counts in equal parts for each, so that the sum over the workers of one forward is what they use, where the resident set (RSS) would
 * count Node itself once a worker. Takes about 0.5 ms. RSS where PSS may not be read; undefined when the process is gone.
 */
export function processMemory(pid: number): number | undefined {
  return proportional(pid) ?? resident(pid)
}

function proportional(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    const pss = kibibytes(text, 'Pss')
    return pss === undefined ? undefined : pss + (kibibytes(text, 'SwapPss') ?? 0)
  } catch {
    return undefined
  }
}

function resident(pid: number): number | undefined {
  try {
    return kibibytes(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS')
  } catch {
    return undefined
  }
}

function kibibytes(text: string, key: string): number | undefined {
  const found = new RegExp(`^${key}:\\s*(\\d+) kB$`, 'm').exec(text)?.[1]
  return found === undefined ? undefined : Number(found) * 1024
}
