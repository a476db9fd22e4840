import { accessSync, constants, statSync } from 'node:fs'
import path from 'node:path'
import { packageFile } from '../os/package-file.ts'

/** How the programs of this installation are called so that it works as typed. */
export interface OwnPrograms {
  readonly monitor: string
  readonly log: string
  readonly ctl: string
  readonly gateway: string
}

/** ms for which what was found counts: a monitor is asked often, and looks through every folder of the PATH. */
const holdsMs = 10_000

let known: { readonly searched: string; readonly at: number; readonly programs: OwnPrograms } | undefined

/** By their names where these are in the PATH, else by where they are. */
export function ownPrograms(searched = process.env.PATH ?? ''): OwnPrograms {
  const now = performance.now()
  if (known?.searched === searched && now - known.at < holdsMs) return known.programs
  const call = (name: string) => callOf(name, searched)
  const programs = {
    monitor: call('proxy-monitor'),
    log: call('proxy-log'),
    ctl: call('proxy-ctl'),
    gateway: call('mcp-proxy'),
  }
  known = { searched, at: now, programs }
  return programs
}

function callOf(name: string, searched: string): string {
  const folders = searched.split(path.delimiter).filter((folder) => path.isAbsolute(folder))
  if (folders.some((folder) => isProgram(path.join(folder, name)))) return name
  const own = packageFile(`dist/bin/${name}.cjs`)
  return isProgram(own) ? shellWord(own) : `node ${shellWord(own)}`
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

/** A word as a POSIX shell reads it back. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
