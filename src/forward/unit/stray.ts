import { lstatSync } from 'node:fs'
import path from 'node:path'
import type { ForwardOptions } from '../../config/forward-options.ts'
import { type ControlClient, connectControl, holderAfter } from '../../control/client.ts'
import { machineAddresses } from '../../os/interfaces.ts'
import { system } from '../../os/system.ts'
import { distrustOf, ownUid } from '../../os/trusted-path.ts'
import { identityOf, type ProcessIdentity, sameProcess } from '../../process/identity.ts'
import { kindOf } from '../../process/own-processes.ts'
import { findPortHolder } from '../../process/port-holder.ts'
import { forwarderHealth } from '../../record/shapes/forwarder-health.ts'
import { fileNames } from '../../record/state-directory.ts'
import { writersDirectory } from '../../record/usual-directories.ts'
import type { Stray } from '../../watch/unit.ts'
import { planListeners } from '../listen/listen-plan.ts'

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
  const { listenPort } = options
  for (const address of planListeners(options, machineAddresses()).addresses) {
    const pid = findPortHolder(listenPort, address)?.pid
    const words = pid === undefined ? undefined : system.commandLine(pid)
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
  if (system.userOf(pid) !== ownUid()) return false
  return kindOf(words) === 'forwarder' && words.includes(String(port)) && isNode(pid)
}

function isNode(pid: number): boolean {
  const program = path.basename(system.executableOf(pid) ?? '')
  return program !== '' && (program.startsWith('node') || program === path.basename(process.execPath))
}

/** A folder that somebody else could have put there may hold his socket, which says whatever he likes. */
function isOwn(directory: string): boolean {
  try {
    return distrustOf(directory) === undefined && lstatSync(directory).uid === ownUid()
  } catch {
    return false
  }
}

/** Undefined when its words are relative to a folder that cannot be read, or do not tell where the path ends. */
function directoryOf(pid: number, words: readonly string[]): string | undefined {
  const at = words.indexOf('--state-dir')
  const joined = words.find((word) => word.startsWith('--state-dir='))
  const written = at < 0 ? joined?.slice('--state-dir='.length) : words[at + 1]
  if (written === undefined) return writersDirectory(undefined).directory
  if (!system.keepsArguments && isCut(words, joined ?? written)) return undefined
  if (path.isAbsolute(written)) return path.normalize(written)
  const folder = system.workingDirectoryOf(pid)
  return folder && path.resolve(folder, written)
}

/** Whether an argument may go on after a space: what follows it is no option. */
function isCut(words: readonly string[], argument: string): boolean {
  const next = words[words.lastIndexOf(argument) + 1]
  return next !== undefined && !next.startsWith('--')
}

async function ask(holder: ProcessIdentity, directory: string, port: number, ours: string): Promise<Stray> {
  const silent = { identity: holder, stateDirectory: directory, state: 'silent' } as const
  if (!isOwn(directory)) return silent
  if (directory !== ours && (await isWatched(directory))) return { ...silent, state: 'watched' }
  const control = await open(path.join(directory, fileNames.forwarderSocket(port)))
  try {
    const health = forwarderHealth.read(await control?.request('health', {}, answerTakesMs))
    if (health === undefined || health.listen.port !== port || health.draining) return silent
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
    isOurs(identity.pid, system.commandLine(identity.pid) ?? [], port)
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
