import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect } from 'vitest'
import { kindOf, ownProcesses } from '../../src/process/own-processes.ts'
import { it } from '../support/fixtures.ts'
import { Resident } from '../support/resident.ts'
import { onEverySystem } from '../support/systems.ts'
import { freePort, until } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

describe('forwarders and monitors of this machine', () => {
  it('are known by what their command line runs, not by words that look like it', () => {
    expect(kindOf(['node', '/x/dist/bin/tcp-proxy.cjs', '1'])).toBe('forwarder')
    expect(kindOf(['/usr/bin/node', '--max-old-space-size=64', '/x/bin/proxy-monitor'])).toBe('monitor')
    expect(kindOf(['node', '/x/dist/bin/proxy-monitor.cjs'])).toBe('monitor')
    expect(kindOf(['node', '/x/dist/src/cli/proxy-monitor.js'])).toBe('monitor')
    expect(kindOf(['node', '/x/bin/port-watchdog', 'forward', '1'])).toBe('forwarder')
    expect(kindOf(['node', '/x/dist/bin/port-watchdog.cjs', 'start'])).toBe('monitor')
    expect(kindOf(['node', '/x/bin/port-watchdog', 'status'])).toBeUndefined()
    expect(kindOf(['python3', '/opt/tcp_proxy.py', '6274', 'localhost', '6274'])).toBe('old-forwarder')
    expect(kindOf(['/bin/bash', './monitor_proxy.sh'])).toBe('old-monitor')
    expect(kindOf(['vim', 'tcp_proxy.py'])).toBeUndefined()
    expect(kindOf(['grep', 'tcp-proxy'])).toBeUndefined()
    expect(kindOf([])).toBeUndefined()
  })
})

onEverySystem('forwarders and monitors of this machine', () => {
  it('are listed, watched or not, with their ports and state directories', async ({ watched }) => {
    const echo = await echoServer()
    const port = await freePort()
    const forward = watched.start('tcp-proxy', String(port), 'localhost', String(echo.port), '--workers', '2')
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
    expect(mine.map(({ kind }) => kind).sort()).toEqual(['forwarder', 'old-monitor', 'worker'])
    const own = mine.find(({ kind }) => kind === 'forwarder')
    expect(own).toMatchObject({
      pid: forward.pid,
      stateDirectory: watched.directory,
      uid: process.getuid?.(),
    })
    expect(own?.identity).toBeDefined()
    await echo.close()
  })
})
