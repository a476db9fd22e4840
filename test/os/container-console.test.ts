import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { checkout, run } from '../support/tools.ts'

const script = `import(${JSON.stringify(join(checkout, 'dist', 'src', 'os', 'container-console.js'))})
  .then(({ isContainerConsole }) => console.log("console " + isContainerConsole()))`

describe('The console of a container', () => {
  it('is told from a terminal of one’s own, and from no terminal', async (t) => {
    const node = `${process.execPath} -e '${script.replaceAll("'", '"')}'`
    const { stdout: plain } = await run(['sh', '-c', node])
    assert.match(plain, /console false/)
    const { stdout: own } = await run(['script', '-qec', node, '/dev/null'])
    assert.match(own, /console false/)
    const inContainer = (command: string) => `unshare --pid --fork --mount-proc ${command}`
    if ((await run(['sh', '-c', inContainer('true')])).code !== 0) return t.skip('no namespaces here')
    // As the first process, and as a child of it.
    for (const command of [node, `sh -c '${node.replaceAll("'", `'\\''`)}; true'`]) {
      const { stdout } = await run(['script', '-qec', inContainer(command), '/dev/null'])
      assert.match(stdout, /console true/, command)
    }
  })
})
