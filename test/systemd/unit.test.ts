import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Resident } from '../support/resident.ts'
import { checkout, run } from '../support/tools.ts'
import { command, withWatched } from '../support/watched.ts'

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0
const skip = hasSystemd ? false : 'systemd is not installed'

describe('scripts/install-systemd', { skip }, () => {
  for (const scope of ['system', 'user']) {
    it(`puts a unit of the ${scope} in place that verifies, and takes it away again`, {
      timeout: 60_000,
    }, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'pw-units-'))
      try {
        const install = (...words: string[]) => {
          const scoped = scope === 'user' ? ['--user', ...words] : words
          const where = `PORT_WATCHDOG_UNIT_DIR=${folder}`
          return run(
            ['env', where, join(checkout, 'scripts', 'install-systemd'), '--no-start', ...scoped],
            60_000,
          )
        }
        const installed = await install()
        assert.equal(installed.code, 0, installed.stderr)
        const unit = readFileSync(join(folder, 'proxy-monitor.service'), 'utf8')
        assert.ok(/^ExecStart=\/\S+ \/\S+\/dist\/src\/cli\/proxy-monitor\.js$/m.test(unit))
        assert.equal((await install('--remove')).code, 0)
        assert.deepEqual(readdirSync(folder), [])
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  }

  it('refuses words it does not know', async () => {
    assert.equal((await run([join(checkout, 'scripts', 'install-systemd'), '--bad'])).code, 64)
  })
})

describe('The systemd unit', { skip }, () => {
  it('is clean to systemd-analyze verify', async () => {
    const { code, stdout, stderr } = await run([
      'systemd-analyze',
      'verify',
      `${checkout}/systemd/proxy-monitor.service`,
    ])
    assert.equal(stdout + stderr, '')
    assert.equal(code, 0)
  })

  it('hears READY=1, then WATCHDOG=1 at every round, and STOPPING=1', { timeout: 60_000 }, () =>
    withWatched(async (watched) => {
      const address = watched.file('notify.sock')
      // A datagram Unix socket, which Node does not have: python3 stands where systemd does, and says what it hears.
      const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('listening', flush=True)
while True: print(s.recv(4096).decode().replace(chr(10), ' '), flush=True)`
      const manager = watched.adopt(new Resident(['python3', '-c', script, address], {}))
      await manager.line(/listening/)
      const configuration = watched.file('c.json')
      writeFileSync(configuration, JSON.stringify({ interval: '1s', forwards: [] }))
      const words = command('proxy-monitor', '--config', configuration, '--state-dir', watched.directory)
      const environment = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '60000000' }
      const monitor = watched.adopt(new Resident(words, environment))
      await manager.line(/READY=1/)
      await manager.line(/WATCHDOG=1/)
      assert.equal(await monitor.stop(), 0)
      await manager.line(/STOPPING=1/)
    }),
  )
})
