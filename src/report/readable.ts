import { accessSync, constants, readdirSync } from 'node:fs'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import type { LogSource } from './log-source.ts'

/**
 * Checks that a state directory is there and can be read: what is not there holds no news, good or bad.
 * @throws Failure that says what is the matter; exit code 66 or 77.
 */
export function demandReadable(stateDirectory: string): void {
  try {
    readdirSync(stateDirectory)
  } catch (error) {
    throw directoryFailure(stateDirectory, error)
  }
}

/** What the system's error about a state directory means to a person. */
export function directoryFailure(stateDirectory: string, error: unknown): Failure {
  switch (errorCode(error)) {
    case 'ENOENT':
      return new Failure(
        `${stateDirectory} does not exist: no such folder; look at --state-dir`,
        exitCode.noInput,
      )
    case 'ENOTDIR':
      return new Failure(`${stateDirectory} is not a folder; look at --state-dir`, exitCode.noInput)
    case 'EACCES':
    case 'EPERM':
      return new Failure(`${stateDirectory} cannot be read: permission denied`, exitCode.noPermission)
    default:
      return new Failure(`${stateDirectory} cannot be read: ${errorText(error)}`, exitCode.noInput)
  }
}

/** The logs that this user may not read. */
export function unreadableLogs(sources: readonly LogSource[]): readonly LogSource[] {
  return sources.filter(({ file }) => {
    try {
      accessSync(file, constants.R_OK)
      return false
    } catch (error) {
      return errorCode(error) === 'EACCES'
    }
  })
}
