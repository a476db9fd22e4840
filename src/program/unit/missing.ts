import type { ProgramConfiguration } from '../../config/program-configuration.ts'
import { canBeRun, isFolder } from '../../os/command-file.ts'
import { readRegularFile } from '../../os/regular-file.ts'
import type { ProgramFault } from './vocabulary.ts'

/** What a program needs on this machine and does not find now: its folder, its files of variables, its command and those of its actions. */
export function missingOf(program: ProgramConfiguration): readonly ProgramFault[] {
  const { cwd, env, envFile, command, actions } = program
  // Everything else is looked for from there.
  if (!isFolder(cwd)) return [{ code: 'folder-missing', folder: cwd }]
  const unread = envFile.filter((file) => !canBeRead(file))
  const commands = [command, ...Object.values(actions).map((action) => action.command)]
  const names = new Set(commands.flatMap(([name]) => name ?? []))
  const searched = env.PATH ?? process.env.PATH ?? ''
  return [
    ...unread.map(
      (file): ProgramFault => ({
        code: 'environment-unreadable',
        why: `its file of variables ${file} cannot be read`,
      }),
    ),
    ...[...names]
      .filter((name) => !canBeRun(name, cwd, searched))
      .map((name): ProgramFault => ({ code: 'command-missing', command: name, cwd })),
  ]
}

function canBeRead(file: string): boolean {
  try {
    readRegularFile(file, { follow: true })
    return true
  } catch {
    return false
  }
}
