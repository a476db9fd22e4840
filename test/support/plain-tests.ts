import { execFile } from 'node:child_process'
import { compiled } from './tools.ts'

/**
 * Runs compiled tests, which ask Vitest for no more than `describe`, `it` and the hooks, in a process with other settings of Node.
 * @param pattern of the names of those to run; all when left out.
 * @returns how many passed. Rejects when one failed.
 */
export function passedWith(nodeOptions: string, files: readonly string[], pattern?: string): Promise<number> {
  const wanted = pattern === undefined ? [] : [`--test-name-pattern=${pattern}`]
  const entry = compiled('test/support/plain-tests-process.ts')
  const words = ['--test-reporter=tap', ...wanted, entry, ...files.map(compiled)]
  const env = { ...process.env, NODE_OPTIONS: nodeOptions }
  return new Promise((resolve, reject) => {
    execFile(process.execPath, words, { env, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      const passed = /^# pass (\d+)$/m.exec(stdout)?.[1]
      if (error || passed === undefined) reject(new Error(`${error?.message}\n${stdout}${stderr}`))
      else resolve(Number(passed))
    })
  })
}
