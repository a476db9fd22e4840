import { memorySize } from '../os/memory-size.ts'

/** What can be limited. */
export const limitedResources = ['memory', 'cpu', 'openFiles'] as const

export type LimitedResource = (typeof limitedResources)[number]

/** What it is called in a sentence. */
export const resourceNames: Readonly<Record<LimitedResource, string>> = {
  memory: 'memory',
  cpu: 'CPU time',
  openFiles: 'open files',
}

/** An amount of it in words: `48.2 MiB of memory`, `12.5% of a CPU core`, `1200 open files`. @param amount bytes, per cent of one core, or how many. */
export function amountInWords(resource: LimitedResource, amount: number): string {
  if (resource === 'openFiles') return `${amount} open files`
  return resource === 'memory' ? `${memorySize(amount)} of memory` : `${amount}% of a CPU core`
}

/** A limit of it in words: `256 MiB`, `50%`. */
export function limitInWords(resource: LimitedResource, limit: number): string {
  if (resource === 'openFiles') return String(limit)
  return resource === 'memory' ? memorySize(limit) : `${limit}%`
}

/** `300 MiB of memory, more than its limit of 256 MiB`; `300 open files, as many as its limit of 300 allows`. */
export function excessInWords(resource: LimitedResource, amount: number, limit: number): string {
  const used = amountInWords(resource, amount)
  if (amount === limit) return `${used}, as many as its limit of ${limitInWords(resource, limit)} allows`
  return `${used}, more than its limit of ${limitInWords(resource, limit)}`
}
