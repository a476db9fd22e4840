import { accessSync, constants, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** How the programs of this installation are called so that it works as typed. */
export interface OwnPrograms {
  readonly monitor: string
  readonly log: string
}

/** By their names where these are in the PATH, else by where they are. */
export function ownPrograms(searched = process.env.PATH ?? ''): OwnPrograms {
  return { monitor: callOf('proxy-monitor', searched), log: callOf('proxy-log', searched) }
}

function callOf(name: string, searched: string): string {
  const folders = searched.split(path.delimiter).filter((folder) => path.isAbsolute(folder))
  if (folders.some((folder) => isProgram(path.join(folder, name)))) return name
  const own = fileURLToPath(new URL(`../cli/${name}.js`, import.meta.url))
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
