import { lstatSync, readlinkSync } from 'node:fs'
import path from 'node:path'
import type { ForwardOptions } from '../config/forward-options.ts'
import { type ControlClient, connectControl, holderAfter } from '../control/client.ts'
import { planListeners } from '../forward/listen/listen-plan.ts'
import { machineAddresses } from '../os/interfaces.ts'
import { kindOf } from '../os/own-processes.ts'
import { isLinux } from '../os/platform.ts'
import { findPortHolder } from '../os/port-holder.ts'
import { commandLine, identityOf, type ProcessIdentity, sameProcess, userOf } from '../os/process-identity.ts'
import { distrustOf, ownUid } from '../os/trusted-path.ts'
import { isForwarderHealth } from '../record/forwarder-health.ts'
import { fileNames } from '../record/state-directory.ts'
import { writersDirectory } from '../record/usual-directories.ts'

/** A forwarder of this user that serves a forward's port and that this forward's control socket does not lead to. */
export interface Stray {
  readonly identity: ProcessIdentity
  /** Where it keeps its files. */
  readonly stateDirectory: string
  /**
   * - `answers`: it can be asked to hand over.
   * - `silent`: nobody answers on the control socket that it should have.
   * - `watched`: another monitor, or systemd, keeps it alive.
   */
  readonly state: 'answers' | 'silent' | 'watched'
}

/** ms that a question may take. */
const answerTakesMs = 1500

/**
 * Looks who holds the addresses of a forward, and whether that is a forwarder of ours: by its user, its program and its words, and where it
 * answers by what it says.
 * @param stateDirectory of this monitor.
 * @returns undefined when nobody holds them, or somebody else.
 * @throws the system's error when this process is unable to ask the one that it found.
 */
export async function findStray(options: ForwardOptions, stateDirectory: string): Promise<Stray | undefined> {
  if (!isLinux) return undefined
  const { listenPort } = options
  for (const address of planListeners(options, machineAddresses()).addresses) {
    const pid = findPortHolder(listenPort, address)?.pid
    const words = pid === undefined ? undefined : commandLine(pid)
    if (pid === undefined || words === undefined) continue
    const identity = identityOf(pid)
    if (identity === undefined || !isOurs(pid, words, listenPort)) return undefined
    const directory = directoryOf(pid, words)
    return directory === undefined ? undefined : await ask(identity, directory, listenPort, stateDirectory)
  }
  return undefined
}

/** The words of another user's process prove nothing, so its user counts first. Other programs are called tcp-proxy, too. */
function isOurs(pid: number, words: readonly string[], port: number): boolean {
  if (userOf(pid) !== ownUid()) return false
  return kindOf(words) === 'forwarder' && words.includes(String(port)) && isNode(pid)
}

function isNode(pid: number): boolean {
  try {
    const program = path.basename(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ''))
    return program.startsWith('node') || program === path.basename(process.execPath)
  } catch {
    return false
  }
}

/** A folder that somebody else could have put there may hold his socket, which says whatever he likes. */
function isOwn(directory: string): boolean {
  try {
    return distrustOf(directory) === undefined && lstatSync(directory).uid === ownUid()
  } catch {
    return false
  }
}

/** Undefined when its words are relative to a folder that cannot be read. */
function directoryOf(pid: number, words: readonly string[]): string | undefined {
  const at = words.indexOf('--state-dir')
  const joined = words.find((word) => word.startsWith('--state-dir='))
  const written = at < 0 ? joined?.slice('--state-dir='.length) : words[at + 1]
  if (written === undefined) return writersDirectory(undefined).directory
  if (path.isAbsolute(written)) return path.normalize(written)
  try {
    return path.resolve(readlinkSync(`/proc/${pid}/cwd`), written)
  } catch {
    return undefined
  }
}

async function ask(holder: ProcessIdentity, directory: string, port: number, ours: string): Promise<Stray> {
  const silent = { identity: holder, stateDirectory: directory, state: 'silent' } as const
  if (!isOwn(directory)) return silent
  if (directory !== ours && (await isWatched(directory))) return { ...silent, state: 'watched' }
  const control = await open(path.join(directory, fileNames.forwarderSocket(port)))
  try {
    const health = await control?.request('health', {}, answerTakesMs)
    if (!isForwarderHealth(health) || health.listen.port !== port || health.draining) return silent
    if (!isProven(health.identity, port)) return silent
    // With workers the one that answers may not be the one that was found.
    return { ...silent, identity: health.identity, state: health.supervisor ? 'watched' : 'answers' }
  } catch {
    return silent
  } finally {
    control?.close()
  }
}

/** It will be signalled, so that what it says of itself is looked at first. */
function isProven(identity: ProcessIdentity, port: number): boolean {
  const found = identityOf(identity.pid)
  return (
    found !== undefined &&
    sameProcess(found, identity) &&
    isOurs(identity.pid, commandLine(identity.pid) ?? [], port)
  )
}

async function isWatched(directory: string): Promise<boolean> {
  const control = await open(path.join(directory, fileNames.monitorSocket))
  control?.close()
  return control !== undefined
}

async function open(file: string): Promise<ControlClient | undefined> {
  return await connectControl(file, answerTakesMs).catch((error) => {
    // A forwarder that this process is unable to ask is not one that does not answer.
    if (holderAfter(error) === 'unknown') throw error
    return undefined
  })
}
