/**
 * portable/: the backend for systems without /proc: it runs `ps`, `lsof` and `sysctl`. Every answer is a program that this process waits
 * for, so it is asked for what decides something and not for what only informs.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import type { System } from '../backend.ts'
import { fileOf, holdersOf, listeningPortOf, listeningPorts } from './lsof.ts'
import { commandLine, environmentOf, memoryOf, processStat, processTable, startOrder, userOf } from './ps.ts'

export const portable: System = {
  name: 'portable',
  bootId,
  pidNamespace: () => 'none',
  isBlind: () => false,
  missingTools,
  processStat,
  processTable,
  startOrder,
  lookEveryMs: 50,
  commandLine,
  keepsArguments: false,
  userOf,
  executableOf: (pid) => fileOf(pid, 'txt'),
  workingDirectoryOf: (pid) => fileOf(pid, 'cwd'),
  environmentOf,
  memoryOf,
  measuresUsage: false,
  figuresOf: () => ({ threads: undefined, descriptors: undefined }),
  // `lsof` shows the sockets of this user only: that it shows none proves nothing.
  tcpListeners: () => undefined,
  silentPeers: () => undefined,
  firstTcpListener: () => undefined,
  unixListeners: () => undefined,
  holdersOf,
  listeningPorts,
  listeningPortOf,
  inheritsSocketOptions: false,
  // macOS lets everybody listen on every port, at least on all addresses.
  lowestFreePort: () => 0,
  descriptorLimit: () => undefined,
  pathOfDescriptor: () => undefined,
  longestSocketPath: 103,
}

function missingTools(): readonly string[] {
  const tries = { ps: ['-o', 'pid=', '-p', String(process.pid)], lsof: ['-v'] }
  return Object.entries(tries).flatMap(([tool, words]) => {
    return spawnSync(tool, words, { stdio: 'ignore' }).status === 0 ? [] : tool
  })
}

let knownBootId: string | undefined

function bootId(): string {
  if (knownBootId === undefined) {
    try {
      const words = ['-n', 'kern.bootsessionuuid']
      const said = execFileSync('sysctl', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      knownBootId = said.trim() || 'unknown'
    } catch {
      knownBootId = 'unknown'
    }
  }
  return knownBootId
}
