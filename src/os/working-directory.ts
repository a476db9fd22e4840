import path from 'node:path'
import { exitCode, Failure } from './failure.ts'

/**
 * A path that means the same from every folder.
 * @throws Failure (66) when it is relative and the working folder was removed.
 */
export function absolutePath(file: string): string {
  try {
    // An absolute one asks for no working folder.
    return path.resolve(file)
  } catch {
    throw new Failure(
      `the working folder was removed, so ${file} leads nowhere; cd to a folder that exists, or give the whole path`,
      exitCode.noInput,
    )
  }
}
