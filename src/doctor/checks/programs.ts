import type { ProgramConfiguration } from '../../config/program-configuration.ts'
import { missingOf } from '../../program/unit/missing.ts'
import { utilityFile } from '../../program/unit/open-files.ts'
import { programVocabulary } from '../../program/unit/vocabulary.ts'
import { type Check, type Finding, ok, warning } from '../check.ts'

/** Programs of util-linux, what is not to be had without them, and who needs that. */
const utilities: readonly {
  readonly name: string
  readonly without: string
  readonly isNeededBy: (program: ProgramConfiguration) => boolean
}[] = [
  {
    name: 'prlimit',
    without: 'limits.openFiles is watched, and the system does not keep it',
    isNeededBy: ({ limits }) => (limits.openFiles ?? 0) > 0,
  },
  {
    name: 'setpriv',
    without: 'no program can run as another user',
    isNeededBy: ({ user }) => user !== undefined,
  },
  {
    name: 'fallocate',
    without: 'the output of programs with keep is emptied instead of freed, and may lose a line',
    isNeededBy: ({ keep }) => keep,
  },
]

/** @param isThere whether a program of util-linux is installed. */
export function judgePrograms(
  programs: readonly ProgramConfiguration[],
  isThere: (utility: string) => boolean,
): Finding[] {
  if (programs.length === 0) return []
  const lacking = programs.flatMap((program) => {
    const { fault } = programVocabulary(program)
    return missingOf(program).map((one) => warning('program-lacks', `${program.name}: ${fault(one)}`))
  })
  const missing = utilities
    .filter(({ name, isNeededBy }) => programs.some(isNeededBy) && !isThere(name))
    .map(({ name, without }) =>
      warning('utility-missing', `${name} is not installed: ${without}`, 'install util-linux'),
    )
  const found = [...lacking, ...missing]
  if (found.length > 0) return found
  const who = programs.length === 1 ? 'the program finds its' : `all ${programs.length} programs find their`
  return [ok('programs', `${who} folder, command and files of variables`)]
}

export const programsCheck: Check = {
  name: 'programs',
  run: ({ configuration }) =>
    judgePrograms(configuration?.programs ?? [], (name) => utilityFile(name) !== undefined),
}
