import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { healthyAs, restartsOf } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { checkout } from '../support/tools.ts'
import { askThrough, echoServer, freePort, withWatched } from '../support/watched.ts'

describe('A forwarder that dies while the program is being upgraded', { timeout: 60_000 }, () => {
  for (const [what, spoil] of [
    ['missing', (program: string) => rmSync(program)],
    [
      'half-written',
      (program: string) => writeFileSync(program, readFileSync(program, 'utf8').slice(0, 50_000)),
    ],
  ] as const) {
    it(`(${what}): that is told as such and counts as no failure; it is back when the program is`, () =>
      withWatched(async (watched) => {
        const echo = await echoServer()
        const port = await freePort()
        const copy = watched.file('package')
        mkdirSync(copy)
        for (const folder of ['bin', 'src'])
          cpSync(join(checkout, 'dist', folder), join(copy, 'dist', folder), { recursive: true })
        for (const name of ['node_modules', 'package.json'])
          symlinkSync(join(checkout, name), join(copy, name))
        const program = join(copy, 'dist', 'bin', 'tcp-proxy.cjs')
        const whole = readFileSync(program)
        const file = watched.file('configuration.json')
        const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
        const restart = { failureThreshold: 2, flappingRestarts: 2, flappingPause: '1h' }
        writeFileSync(file, JSON.stringify({ interval: '1s', restart, forwards }))
        const monitor = join(copy, 'dist', 'src', 'cli', 'proxy-monitor.js')
        const argv = [process.execPath, monitor, '--config', file, '--state-dir', watched.directory]
        await watched.adopt(new Resident(argv, {})).line(/Monitor started/)
        const { pid } = await healthyAs(watched, port)
        spoil(program)
        process.kill(pid, 'SIGKILL')
        await watched.logLine(
          /web cannot be started: .*tcp-proxy\.cjs is missing or incomplete; is it being upgraded\?/,
        )
        writeFileSync(`${program}.new`, whole, { mode: 0o755 })
        renameSync(`${program}.new`, program)
        await healthyAs(watched, port, pid)
        assert.equal(await askThrough(port), 'hello')
        assert.equal(restartsOf(watched, port), 1)
        assert.doesNotMatch(watched.log(), /failure #2|flapping|ALERT/)
        await echo.close()
      }))
  }
})
