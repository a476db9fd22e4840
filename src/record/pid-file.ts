import { lstatSync, renameSync, unlinkSync } from 'node:fs'
import { writeFileAtomically } from '../os/atomic-file.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { type Shortage, shortageOf } from '../os/shortage.ts'
import { system } from '../os/system.ts'
import type { ProcessIdentity, ProcessVerdict } from '../process/identity.ts'
import { judgeProcess, ownIdentity, sameProcess } from '../process/identity.ts'
import { processIdentity } from './shapes/process-identity.ts'

/**
 * What a PID file says.
 * - `missing`: there is none.
 * - `unreadable`: this machine lacks what is needed to read it; nothing is known.
 * - `invalid`: it is there and names no process: empty, garbage, a directory, a symbolic link (never followed).
 * - `legacy`: it holds a PID alone, as shell scripts write it; nothing proves whose process that is.
 * - `identified`: written by a forwarder of ours, with the identity of the process.
 */
export type PidFile =
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly shortage: Shortage }
  | { readonly kind: 'invalid'; readonly why: string; readonly inode: number }
  | { readonly kind: 'legacy'; readonly pid: number; readonly inode: number }
  | { readonly kind: 'identified'; readonly identity: ProcessIdentity; readonly inode: number }

/**
 * Writes the PID file of a process, of this one when none is named: the PID alone on the first line, its identity as JSON on the second. No process outlives a power
 * loss, so the file need not either, and nobody who connects to a new forwarder waits for a disk.
 */
export function writePidFile(file: string, identity = ownIdentity()): void {
  writeFileAtomically(file, `${identity.pid}\n${JSON.stringify(identity)}\n`, false)
}

/** Removes the PID file if it still names this process. */
export function removeOwnPidFile(file: string): void {
  const found = readPidFile(file)
  if (found.kind === 'identified' && sameProcess(found.identity, ownIdentity())) unlinkSync(file)
}

/** Reads a PID file. Never throws for what somebody may have put there. */
export function readPidFile(file: string): PidFile {
  let inode: number
  let text: string
  try {
    const facts = lstatSync(file)
    inode = facts.ino
    if (facts.isSymbolicLink()) return { kind: 'invalid', why: 'it is a symbolic link', inode }
    if (!facts.isFile()) return { kind: 'invalid', why: 'it is not a regular file', inode }
    if (facts.size > 4096) return { kind: 'invalid', why: `it holds ${facts.size} bytes`, inode }
    text = readRegularFile(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // ENOTDIR: what was its folder is a file now.
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'missing' }
    const shortage = shortageOf(code)
    if (shortage !== undefined) return { kind: 'unreadable', shortage }
    return { kind: 'invalid', why: `it cannot be read (${code})`, inode: 0 }
  }
  return parsePidFile(text, inode)
}

/** The pure part of `readPidFile`. */
export function parsePidFile(text: string, inode: number): PidFile {
  if (text.trim() === '') return { kind: 'invalid', why: 'it is empty', inode }
  const [first = '', second = ''] = text.split('\n')
  const pid = Number(first.trim())
  if (!/^\d{1,10}$/.test(first.trim()) || pid < 1 || pid > 0x7fff_ffff) {
    return { kind: 'invalid', why: 'it holds no PID', inode }
  }
  if (second.trim() === '') return { kind: 'legacy', pid, inode }
  const identity = parseIdentity(second)
  if (identity === undefined || identity.pid !== pid) {
    return { kind: 'invalid', why: 'its second line is no identity of that PID', inode }
  }
  return { kind: 'identified', identity, inode }
}

function parseIdentity(json: string): ProcessIdentity | undefined {
  try {
    return processIdentity.read(JSON.parse(json))
  } catch {
    return undefined
  }
}

/**
 * What has become of the process a PID file names; undefined for a file that names none. A PID without identity is
 * `reused` when its process is plainly no forwarder, because then the file is a leftover whoever wrote it; it is
 * `unverifiable` when it may be one.
 */
export function judgePidFile(file: PidFile): ProcessVerdict | undefined {
  switch (file.kind) {
    case 'missing':
    case 'unreadable':
    case 'invalid':
      return undefined
    case 'identified':
      return judgeProcess(file.identity)
    case 'legacy':
      return judgeLegacyPid(file.pid)
  }
}

function judgeLegacyPid(pid: number): ProcessVerdict {
  const verdict = judgeProcess({ ...ownIdentity(), pid, startTime: 'unknown' })
  if (verdict !== 'unverifiable') return verdict
  const words = system.commandLine(pid)
  const mayBeForwarder = words === undefined || words.some((word) => /tcp[-_]?proxy/i.test(word))
  return mayBeForwarder ? 'unverifiable' : 'reused'
}

/**
 * Removes a PID file that was judged to be stale, unless it was replaced since. Only the monitor may call this.
 * @returns true when the file that was judged is gone.
 */
export function removeStalePidFile(file: string, judged: PidFile): boolean {
  if (judged.kind === 'missing') return true
  if (judged.kind === 'unreadable') return false
  const aside = `${file}.stale-${process.pid}`
  try {
    if (lstatSync(file).ino !== judged.inode) return false
    renameSync(file, aside)
    unlinkSync(aside)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
