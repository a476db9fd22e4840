/** How many files each process of a program may have open (RLIMIT_NOFILE): by prlimit(1), because Node sets no limits of a child. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { ProgramConfiguration } from '../../config/program-configuration.ts'
import { descriptorLimit } from '../../os/descriptor-limit.ts'

/** `isMissing`: there is a limit and no prlimit, so that the limit is only watched. */
export interface Limited {
  readonly configuration: ProgramConfiguration
  readonly isMissing: boolean
}

/** The program with a command that takes on its limit first. The outermost: only who may can raise it again. */
export function withOpenFilesLimit(configuration: ProgramConfiguration): Limited {
  const { openFiles = 0 } = configuration.limits
  if (openFiles === 0) return { configuration, isMissing: false }
  const prlimit = utilityFile('prlimit')
  if (prlimit === undefined) return { configuration, isMissing: true }
  // More than this process may have cannot be given.
  const most = Math.min(openFiles, descriptorLimit())
  const command = [prlimit, `--nofile=${most}:${most}`, '--', ...configuration.command] as const
  return { configuration: { ...configuration, command }, isMissing: false }
}

/** A program of util-linux. Not by the PATH of the program, which its configuration chooses. */
export function utilityFile(name: string): string | undefined {
  const folders = ['/usr/bin', '/bin', '/usr/local/bin']
  return folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file))
}
