/** `proxy-ctl import`: a configuration of another process manager as one of ours. Needs no monitor. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { createFileAtomically } from '../os/atomic-file.ts'
import { errorCode, errorText, exitCode, Failure } from '../os/failure.ts'
import type { Imported } from '../program/import/imported.ts'
import { ownPrograms, shellWord } from '../report/own-programs.ts'
import { filled, newCommand, type Program } from './command.ts'

interface Options {
  readonly write?: string
  readonly format?: string
  readonly runIt?: boolean
}

export const importProgram: Program = {
  command: newCommand(
    'import',
    'Turn a Procfile, circus.ini, supervisord.conf, pm2 ecosystem file or process-compose.yaml into a configuration.',
  )
    .argument('<FILE>', 'the file of the other tool; "-" reads stdin', filled)
    .option('-w, --write <FILE>', 'write the configuration to a new file (default: print it)', filled)
    .option(
      '--format <FORMAT>',
      'procfile, circus, supervisord, pm2 or process-compose (default: found out)',
      filled,
    )
    .option('--run-it', 'run a configuration that is JavaScript, to learn what it says'),
  run: importFile,
}

async function importFile(file: string, options: Options): Promise<number> {
  const { fitting, seenFrom, yamlOf } = await import('../program/import/yaml-text.ts')
  const { knownKeys } = await import('../config/program-schema.ts')
  const folder = path.dirname(path.resolve(file))
  const read = await readForeign(file, folder, options)
  const imported = seenFrom(
    fitting(read, knownKeys),
    folder,
    options.write === undefined ? folder : path.dirname(path.resolve(options.write)),
  )
  if (imported.programs.length === 0) {
    const why = imported.notCarriedOver[0]
    const { remarkText } = await import('../program/import/remarks.ts')
    throw new Failure(
      `${file} names no program that can be carried over${why === undefined ? '' : ` (${remarkText(why)})`}`,
      exitCode.noInput,
    )
  }
  const name = path.basename(file)
  const text = yamlOf(
    imported,
    `Imported from ${file === '-' ? 'stdin' : name}. All keys: man port-watchdog.yaml`,
  )
  if (options.write === undefined) {
    process.stdout.write(text)
    process.stderr.write(`proxy-ctl: ${summary(imported)}\n`)
    return exitCode.ok
  }
  write(options.write, text)
  const check = `${ownPrograms().monitor} --check --config ${shellWord(options.write)}`
  process.stdout.write(`Wrote ${options.write}: ${summary(imported)}. Check it: ${check}\n`)
  return exitCode.ok
}

async function readForeign(
  file: string,
  folder: string,
  { format: named, runIt = false }: Options,
): Promise<Imported> {
  const { formatOf, formats, isEcosystemProgram } = await import('../program/import/index.ts')
  const names = formats.map(({ name }) => name).join(', ')
  const asked = formats.find(({ name }) => name === named)
  if (named !== undefined && asked === undefined) {
    throw new Failure(`unknown format "${named}"; write one of: ${names}`, exitCode.usage)
  }
  const fileName = path.basename(file)
  const text = isEcosystemProgram(fileName) ? await runFile(file, runIt) : readText(file)
  const format = asked ?? formatOf(fileName, text)
  if (format === undefined) {
    throw new Failure(
      `${file} is in none of the known formats; name it with --format: ${names}`,
      exitCode.usage,
    )
  }
  const context = {
    fileName,
    folder,
    hasFile: (one: string) => existsSync(path.resolve(folder, one)),
    env: ownVariables(),
  }
  try {
    return format.read(text, context)
  } catch (error) {
    throw new Failure(
      `${file} cannot be read as ${format.name}: ${firstLine(errorText(error))}`,
      exitCode.noInput,
    )
  }
}

/** What may be written into a file that others read. */
function ownVariables(): Record<string, string> {
  return Object.fromEntries(
    ['HOME', 'USER', 'LOGNAME'].flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

async function runFile(file: string, isAllowed: boolean): Promise<string> {
  if (!existsSync(file)) throw new Failure(`${file} does not exist`, exitCode.noInput)
  if (!isAllowed) {
    throw new Failure(
      `${file} is JavaScript, which says what it holds only when it runs; to run it: ${ownPrograms().ctl} import ${shellWord(file)} --run-it`,
      exitCode.usage,
    )
  }
  const { runEcosystem } = await import('../program/import/run-ecosystem.ts')
  try {
    return await runEcosystem(path.resolve(file))
  } catch (error) {
    throw new Failure(`${file} cannot be run: ${errorText(error)}`, exitCode.noInput)
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    const code = errorCode(error)
    const why =
      code === 'ENOENT'
        ? 'does not exist'
        : code === 'EISDIR'
          ? 'is a folder, not a file'
          : `cannot be read: ${errorText(error)}`
    throw new Failure(`${file} ${why}`, exitCode.noInput)
  }
}

function write(file: string, text: string): void {
  try {
    if (createFileAtomically(path.resolve(file), text)) return
  } catch (error) {
    throw new Failure(`${file} cannot be written: ${errorText(error)}`, exitCode.cannotCreate)
  }
  throw new Failure(
    `${file} exists and is left as it is; name another file: --write FILE`,
    exitCode.cannotCreate,
  )
}

function summary({ programs, notCarriedOver }: Imported): string {
  const count = programs.length === 1 ? '1 program' : `${programs.length} programs`
  const lost = notCarriedOver.length
  if (lost === 0) return `${count}, nothing lost`
  return `${count}; ${lost === 1 ? '1 thing' : `${lost} things`} could not be carried over, see the comments`
}

function firstLine(text: string): string {
  return text.split('\n')[0]?.replace(/:$/, '') ?? text
}
