import { exitCode } from '../os/failure.ts'
import { runProgram } from './command.ts'
import { umbrella } from './umbrella.ts'
import { words } from './words.ts'

/** Runs the command that the first word names. */
export async function start(): Promise<void> {
  const [first, ...rest] = process.argv.slice(2)
  const isHelp = first === 'help' && rest.length > 0
  const chosen = words.find(({ word }) => word === (isHelp ? rest[0] : first))
  if (first === '--complete') {
    const { completionsOf } = await import('./completion.ts')
    const lines = await completionsOf(rest, words)
    process.stdout.write(lines.map((text) => `${text}\n`).join(''))
  } else if (chosen !== undefined) {
    await chosen.run(isHelp ? ['--help'] : rest)
  } else if (first === undefined) {
    umbrella().outputHelp({ error: true })
    process.exitCode = exitCode.usage
  } else {
    await runProgram({ command: umbrella() }, isHelp ? rest : process.argv.slice(2))
  }
}
