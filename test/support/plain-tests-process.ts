// Runs compiled tests by Node's own runner, which needs a tenth of what a second Vitest needs:
// node --test-reporter=tap plain-tests-process.js FILE...
import { register } from 'node:module'
import { pathToFileURL } from 'node:url'

const runner =
  'export { after as afterAll, afterEach, before as beforeAll, beforeEach, describe, it } from "node:test"'
const inSteadOfVitest = JSON.stringify(asModule(runner))
register(
  asModule(`export const resolve = (name, context, next) =>
    name === 'vitest' ? { url: ${inSteadOfVitest}, shortCircuit: true } : next(name, context)`),
)
for (const file of process.argv.slice(2)) await import(pathToFileURL(file).href)

function asModule(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code)}`
}
