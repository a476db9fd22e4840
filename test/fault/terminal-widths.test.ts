import assert from 'node:assert/strict'
import { stripVTControlCharacters } from 'node:util'
import { it } from '../support/fixtures.ts'
import { freePort, run } from '../support/tools.ts'
import { command, echoServer } from '../support/watched.ts'

/** Columns of a terminal; 0 = nobody has set them, as after docker exec, ssh -tt and in CI. */
const widths = [0, 1, 6, 40, 1000]

/** A word as sh reads it back. */
const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`

it('on a terminal of any width, of none too, every report ends and says something', {
  timeout: 300_000,
}, async ({ watched }) => {
  const echo = await echoServer()
  const port = await freePort()
  await watched.monitor([{ name: 'web', listen: port, target: `127.0.0.1:${echo.port}` }])
  await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
  const state = ['--state-dir', watched.directory]
  const reports = [
    command('proxy-status', ...state),
    command('proxy-status', 'web', ...state),
    command('proxy-status', '--history', ...state),
    command('proxy-log', ...state),
    command('proxy-log', '--why', 'web', ...state),
  ]
  const others = [
    command('port-watchdog', 'doctor', ...state),
    command('proxy-status', '--processes', ...state),
    command('proxy-status', '--wait', 'healthy', ...state),
    command('proxy-monitor', '--help'),
  ]
  for (const width of widths) {
    for (const report of width < 40 ? [...reports, ...others] : reports) {
      const line = `stty cols ${width} rows ${width === 0 ? 0 : 24}; exec ${report.map(quoted).join(' ')}`
      const { code, stdout } = await run(['timeout', '20', 'script', '-qec', line, '/dev/null'])
      const what = `${report.slice(1).join(' ')} at ${width} columns`
      // A warning of doctor's is 1, an error 2: this machine is as it is.
      assert.ok(report.includes('doctor') ? code < 3 : code === 0, `${what}: ${code} ${stdout}`)
      assert.ok(stdout.trim().length > 10, what)
      const known = width === 0 ? 200 : width
      const printed = stripVTControlCharacters(stdout).replaceAll('\r', '').split('\n')
      if (report.some((word) => word.endsWith('proxy-status.cjs')) && width > 2) {
        for (const row of printed) assert.ok([...row].length <= known, `${what}: ${row}`)
      }
    }
  }
  await echo.close()
})
