import { availableMemory } from 'node:process'
import { type Check, type Finding, ok, warning } from '../check.ts'

/** Bytes that a forwarder takes at the start, and the monitor with a configuration. */
const perProcess = 60 << 20

/**
 * @param available bytes that this process could still use, within the limit of its container.
 * @param processes how many are to be started.
 */
export function judgeMemory(available: number, processes: number): Finding {
  const needed = perProcess * processes
  const what = `${megabytes(available)} of memory are free; ${processes === 0 ? 'the monitor and its forwards run already' : `what is still to be started needs about ${megabytes(needed)}`}`
  if (available >= needed) return ok('memory', what)
  return warning('memory-short', what, 'give the machine or container more memory, or watch fewer forwards')
}

const megabytes = (bytes: number): string => `${Math.round(bytes / (1 << 20))} MB`

export const memory: Check = {
  name: 'memory',
  run: ({ configuration, processes }) => {
    const workers = configuration?.forwards.map(({ options }) => options.workers) ?? []
    const wanted = 1 + workers.reduce((sum, count) => sum + count, 0)
    const running = processes.filter(({ kind }) => ['monitor', 'forwarder', 'worker'].includes(kind)).length
    return [judgeMemory(availableMemory(), Math.max(0, wanted - running))]
  },
}
