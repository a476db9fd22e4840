/** Captures what `node -e SCRIPT` prints into a directory, until it is killed. Says "kept N" when N lines are. */
import { spawn } from 'node:child_process'
import { compilePatterns, ProgramOutput } from '../../../src/program/output/index.ts'

const [directory = '', script = ''] = process.argv.slice(2)
const output = new ProgramOutput({ directory, name: 'web', maxBytes: 1 << 26, patterns: compilePatterns() })
const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'pipe'] })
output.onLine(({ seq }) => void (seq % 1000 === 0 && process.stdout.write(`kept ${seq}\n`)))
await output.follow(child.stdout, child.stderr)
process.stdout.write('ended\n')
