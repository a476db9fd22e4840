import { shellCommand } from './commands.ts'
import { Collected, type ImportContext, type Imported } from './imported.ts'

/** foreman, honcho and overmind give each program a PORT: the first this one, each further one a hundred more. */
const firstPort = 5000
const portStep = 100

/** A Procfile, as foreman, honcho, overmind and Heroku read it: `name: command`, one a line, run by `sh`. */
export function readProcfile(text: string, { hasFile }: ImportContext): Imported {
  const into = new Collected()
  const envFile = hasFile('.env') ? '.env' : undefined
  let port = firstPort
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue
    const where = `line ${index + 1}`
    const [, said, command = ''] = /^\s*([A-Za-z0-9_-]+):\s*(.*)$/.exec(line) ?? []
    if (said === undefined) {
      into.remark({ program: null, where, what: line.trim(), why: 'invalid', instead: 'NAME: COMMAND' })
      continue
    }
    const name = into.nameFor(said, where)
    if (command.trim() === '') {
      into.remark({ program: name, where, what: said, why: 'no-command', instead: null })
      continue
    }
    const env = { PORT: String(port) }
    const entry = { name, ...shellCommand(into, { program: name, where, text: command, env }) }
    if (entry.env?.PORT === env.PORT) {
      into.remark({ program: name, where, what: 'PORT', why: 'given', instead: `env.PORT: ${port}` })
    }
    into.add({
      ...entry,
      ...(envFile === undefined ? {} : { envFile }),
      // Heroku's own word for what runs once before a version goes into service.
      ...(said === 'release' ? { oneshot: true as const } : {}),
    })
    port += portStep
  }
  return into.result()
}
