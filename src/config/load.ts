import { readFileSync } from 'node:fs'
import path from 'node:path'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import type { Configuration } from './configuration.ts'

/**
 * Reads and checks a configuration file, `.yaml`, `.yml` or `.json`. The schema is loaded only now: it costs 50 ms that a
 * monitor without a file does not spend.
 * @throws Failure that names the file, the line or key, and what is expected; exit code 78.
 */
export async function loadConfiguration(file: string): Promise<Configuration> {
  const { parseConfiguration } = await import('./schema.ts')
  const parsed = parseConfiguration(await parseFile(file))
  if (!parsed.ok) throw new Failure(`${file}: ${parsed.problem}`, exitCode.configuration)
  return parsed.value
}

async function parseFile(file: string): Promise<unknown> {
  const text = readText(file)
  try {
    if (path.extname(file) === '.json') return JSON.parse(text)
    const { parse } = await import('yaml')
    return parse(text, { prettyErrors: true, uniqueKeys: true })
  } catch (error) {
    const what = errorText(error)
      .trim()
      .replace(/\s*\n[\s\S]*$/, '')
    throw new Failure(`${file}: ${what}`, exitCode.configuration)
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Failure(`the configuration cannot be read: ${errorText(error)}`, exitCode.configuration)
  }
}
