import assert from 'node:assert/strict'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe } from 'vitest'
import { fileNames } from '../../src/record/state-directory.ts'
import { it } from '../support/fixtures.ts'
import { healthyAs, restartsOf } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { checkout, freePort, run, until } from '../support/tools.ts'
import { askThrough, command, echoServer } from '../support/watched.ts'

function copiedPackage(copy: string): string {
  mkdirSync(copy)
  cpSync(join(checkout, 'dist', 'bin'), join(copy, 'dist', 'bin'), { recursive: true })
  for (const name of ['node_modules', 'package.json']) symlinkSync(join(checkout, name), join(copy, name))
  return copy
}

describe('A forwarder that dies while the program is being upgraded', () => {
  for (const [what, place, spoil] of [
    ['missing', 'tcp-proxy.cjs', (file: string) => rmSync(file)],
    ['missing in part', 'lib', (file: string) => rmSync(file)],
    ['half-written', 'lib', (file: string) => truncateSync(file, 50_000)],
  ] as const) {
    it(`(${what}): that is told as such and counts as no failure; it is back when the program is`, async ({
      watched,
    }) => {
      const echo = await echoServer()
      const port = await freePort()
      const copy = copiedPackage(watched.file('package'))
      const bin = join(copy, 'dist', 'bin')
      const [part = ''] = readdirSync(join(bin, 'lib')).filter((name) =>
        /^tcp-proxy-[0-9a-f]+\.cjs$/.test(name),
      )
      const spoilt = place === 'lib' ? join(bin, 'lib', part) : join(bin, place)
      const whole = readFileSync(spoilt)
      const file = watched.file('configuration.json')
      const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
      const restart = { failureThreshold: 2, flappingRestarts: 2, flappingPause: '1h' }
      writeFileSync(file, JSON.stringify({ interval: '1s', restart, forwards }))
      const monitor = join(bin, 'proxy-monitor.cjs')
      const argv = [process.execPath, monitor, '--config', file, '--state-dir', watched.directory]
      await watched.adopt(new Resident(argv, {})).line(/Monitor started/)
      const { pid } = await healthyAs(watched, port)
      spoil(spoilt)
      process.kill(pid, 'SIGKILL')
      await watched.logLine(
        /web cannot be started: .*tcp-proxy\.cjs is missing or incomplete; is it being upgraded\?/,
      )
      writeFileSync(`${spoilt}.new`, whole, { mode: 0o755 })
      renameSync(`${spoilt}.new`, spoilt)
      await healthyAs(watched, port, pid)
      assert.equal(await askThrough(port), 'hello')
      assert.equal(await restartsOf(watched, port), 1)
      assert.doesNotMatch(watched.log(), /failure #2|flapping|ALERT/)
      await echo.close()
    })
  }
})

describe('A monitor whose files have been replaced', () => {
  it('cannot read the program of an order any more', async ({ watched }) => {
    const copy = copiedPackage(watched.file('package'))
    const program = join(copy, 'dist', 'bin', 'proxy-monitor.cjs')
    const file = watched.file('configuration.json')
    writeFileSync(file, JSON.stringify({ forwards: [] }))
    const monitor = watched.adopt(
      new Resident([process.execPath, program, '--config', file, '--state-dir', watched.directory], {}),
    )
    await monitor.line(/Monitor started/)
    const socket = watched.file(fileNames.monitorSocket)
    // It reads what an order needs when it looks after its own files; the second look comes after that.
    for (let look = 0; look < 2; look++) {
      rmSync(socket)
      await until('the look', async () => existsSync(socket) || undefined)
    }
    rmSync(join(copy, 'dist'), { recursive: true })
    const ended = await run(command('proxy-ctl', 'stop-monitor', '--state-dir', watched.directory))
    assert.equal(ended.code, 0, ended.stderr)
  })
})
