import { accessSync, constants, statSync } from 'node:fs'
import path from 'node:path'

export function isFolder(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
}

/**
 * Whether a command can be run, as the system looks: a name in the folders of PATH, anything with a slash from its folder on.
 * @param searched PATH.
 */
export function canBeRun(command: string, cwd: string, searched: string): boolean {
  const folders = command.includes('/') ? ['.'] : searched.split(path.delimiter)
  return folders.some((folder) => {
    const file = path.resolve(cwd, folder, command)
    try {
      accessSync(file, constants.X_OK)
      return statSync(file).isFile()
    } catch {
      return false
    }
  })
}
