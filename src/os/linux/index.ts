/**
 * linux/: the backend that reads /proc (proc(5)). Every answer is one or a few small reads, so it is asked in the loop.
 */
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import type { System } from '../backend.ts'
import { figuresOf } from './figures.ts'
import { commandLine, environmentOf, memoryOf, processTable, readProcStat, userOf } from './processes.ts'
import {
  firstTcpListener,
  holdersOf,
  listeningPortOf,
  listeningPorts,
  silentPeers,
  tcpListeners,
  unixListeners,
} from './sockets.ts'

export const linux: System = {
  name: 'linux',
  bootId,
  pidNamespace,
  isBlind: () => !existsSync('/proc/self/stat'),
  missingTools: () => [],
  processStat: readProcStat,
  processTable,
  startOrder: Number,
  lookEveryMs: 5,
  commandLine,
  keepsArguments: true,
  userOf,
  executableOf: (pid) => linkOf(`/proc/${pid}/exe`)?.replace(/ \(deleted\)$/, ''),
  workingDirectoryOf: (pid) => linkOf(`/proc/${pid}/cwd`),
  environmentOf,
  memoryOf,
  measuresUsage: true,
  figuresOf,
  tcpListeners,
  firstTcpListener,
  silentPeers,
  unixListeners,
  holdersOf,
  listeningPorts,
  listeningPortOf,
  inheritsSocketOptions: true,
  lowestFreePort,
  descriptorLimit,
  pathOfDescriptor: (descriptor) => `/proc/self/fd/${descriptor}`,
  longestSocketPath: 107,
}

let knownBootId: string | undefined

function bootId(): string {
  if (knownBootId === undefined) {
    try {
      knownBootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    } catch {
      knownBootId = 'unknown'
    }
  }
  return knownBootId
}

let knownPidNamespace: string | undefined

function pidNamespace(): string {
  knownPidNamespace ??= linkOf('/proc/self/ns/pid') ?? 'none'
  return knownPidNamespace
}

function linkOf(file: string): string | undefined {
  try {
    return readlinkSync(file)
  } catch {
    return undefined
  }
}

function lowestFreePort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
  } catch {
    return 1024
  }
}

function descriptorLimit(): number | undefined {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    const limit = line?.[1]
    if (limit === undefined) return undefined
    return limit === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(limit)
  } catch {
    return undefined
  }
}
