import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Resident } from '../support/resident.ts'
import { checkout, run } from '../support/tools.ts'
import { command, withWatched } from '../support/watched.ts'

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0
const skip = hasSystemd ? false : 'systemd is not installed'

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
