import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { kindOf, ownProcesses } from '../../src/os/own-processes.ts'
import { Resident } from '../support/resident.ts'
import { until } from '../support/tools.ts'
import { echoServer, freePort, withWatched } from '../support/watched.ts'

describe('forwarders and monitors of this machine', () => {
  it('are known by what their command line runs, not by words that look like it', () => {
    assert.equal(kindOf(['node', '/x/dist/bin/tcp-proxy.cjs', '1']), 'forwarder')
    assert.equal(kindOf(['/usr/bin/node', '--max-old-space-size=64', '/x/bin/proxy-monitor']), 'monitor')
    assert.equal(kindOf(['node', '/x/bin/port-watchdog', 'forward', '1']), 'forwarder')
    assert.equal(kindOf(['node', '/x/bin/port-watchdog', 'status']), undefined)
    assert.equal(kindOf(['python3', '/opt/tcp_proxy.py', '6274', 'localhost', '6274']), 'old-forwarder')
    assert.equal(kindOf(['/bin/bash', './monitor_proxy.sh']), 'old-monitor')
    assert.equal(kindOf(['vim', 'tcp_proxy.py']), undefined)
    assert.equal(kindOf(['grep', 'tcp-proxy']), undefined)
    assert.equal(kindOf([]), undefined)
  })

  it('are listed, watched or not, with their ports and state directories', () =>
    withWatched(async (watched) => {
      const echo = await echoServer()
      const port = await freePort()
      const forward = watched.start(
        'tcp-proxy',
        String(port),
        'localhost',
        String(echo.port),
        '--workers',
        '2',
      )
      await forward.line(/Listening/)
      const script = path.join(watched.directory, 'monitor_proxy.sh')
      writeFileSync(script, 'echo up; read -r _ < /dev/fd/3\n')
      const old = watched.adopt(
        new Resident(['bash', '-c', 'exec 3< <(sleep 600); exec bash "$0"', script], {}),
      )
      await old.line(/up/)
      const mine = await until('the worker', async () => {
        const found = (await ownProcesses()).filter(({ port: at, pid }) => at === port || pid === old.pid)
        return found.length === 3 ? found : undefined
      })
      assert.deepEqual(mine.map(({ kind }) => kind).sort(), ['forwarder', 'old-monitor', 'worker'])
      const own = mine.find(({ kind }) => kind === 'forwarder')
      assert.equal(own?.pid, forward.pid)
      assert.equal(own?.stateDirectory, watched.directory)
      assert.equal(own?.uid, process.getuid?.())
      await echo.close()
    }))
})
