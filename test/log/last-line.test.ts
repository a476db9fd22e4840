import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { readRing } from '../../src/log/ring-log.ts'
import { temporaryDirectory } from '../support/children.ts'
import { compiled } from '../support/tools.ts'

const file = (name: string) => JSON.stringify(compiled(`src/log/${name}.ts`))

/** Logs `count` lines, and kills itself with SIGKILL right after the last. */
const program = `
  import { LineLog } from ${file('line-log')}
  import { pinoLog } from ${file('pino-log')}
  import { RingLog } from ${file('ring-log')}
  const [directory, count] = process.argv.slice(1)
  const log = pinoLog({
    lines: new LineLog(directory + '/people.log'),
    ring: new RingLog(directory + '/ring.jsonl'),
    echo: (line) => process.stdout.write(line + '\\n'),
    redact: (text) => text,
  }).child({ unit: 'web' })
  for (let i = 1; i < Number(count); i++) log.info('line ' + i)
  log.fatal({ err: new Error('broken') }, 'line ' + count)
  process.kill(process.pid, 'SIGKILL')
`

describe('The last line before kill -9', () => {
  for (const count of [1, 2, 50, 1099, 1100]) {
    it(`is in the log and in the ring, whole, after ${count} lines`, (t) => {
      const directory = temporaryDirectory(t)
      const words = ['--input-type=module', '-e', program, directory, String(count)]
      const { signal, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' })
      expect({ signal, stderr }).toEqual({ signal: 'SIGKILL', stderr: '' })
      const lines = readFileSync(path.join(directory, 'people.log'), 'utf8').split('\n')
      expect(lines).toHaveLength(count + 1)
      expect(lines.at(-2)).toMatch(new RegExp(` ✗ line ${count}$`))
      const [last] = readRing(path.join(directory, 'ring.jsonl')).slice(-1)
      expect(last).toMatchObject({ sequence: count, level: 'error', source: 'web', message: `line ${count}` })
    })
  }
})
