import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { errorText } from '../../os/failure.ts'
import { functionMark } from './pm2.ts'

/** ms within which a configuration must have said what it holds. */
const longestRunMs = 10_000

const script = `
const mark = ${JSON.stringify(functionMark)}
const { default: exported, ...names } = await import(process.argv[1])
const made = exported ?? names
const content = typeof made === 'function' ? await made() : await made
process.stdout.write('\\n' + JSON.stringify(content, (_key, value) => (typeof value === 'function' ? mark : value)))
process.stdout.once('drain', () => process.exit(0))
setImmediate(() => process.exit(0))
`

/**
 * Runs a configuration that is JavaScript, in a process of its own, as pm2 does in its own process.
 * @returns what it exports, as JSON; functions are {@link functionMark}.
 * @throws with what it printed when it fails or does not end.
 */
export function runEcosystem(file: string): Promise<string> {
  const words = ['--input-type=module', '--eval', script, pathToFileURL(file).href]
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      words,
      { timeout: longestRunMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20 },
      (error, stdout, stderr) => {
        // It may print what it likes before.
        const text = stdout.slice(stdout.lastIndexOf('\n') + 1)
        if (error === null && text !== '') resolve(text)
        else if (error?.killed === true) reject(new Error(`it did not end within ${longestRunMs / 1000} s`))
        else reject(new Error(lastLine(stderr) ?? (error === null ? 'it exports nothing' : errorText(error))))
      },
    )
  })
}

/** The line of a stack trace that says what is wrong. */
function lastLine(stderr: string): string | undefined {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1)
}
