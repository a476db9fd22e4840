import { once } from 'node:events'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { chooseSystem } from '../../src/os/system.ts'
import { findPortHolder, identifyPortHolder, portHolders } from '../../src/process/port-holder.ts'
import {
  describeProcess,
  describeProcesses,
  shortCommand,
  withProgramOnly,
} from '../../src/process/summary.ts'
import { onEverySystem } from '../support/systems.ts'
import { freePort, run } from '../support/tools.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listen(port: number, host: string): Promise<void> {
  const server = createServer().listen(port, host)
  servers.push(server)
  await once(server, 'listening')
}

onEverySystem('Who holds a port', () => {
  it('is found by the address that is wanted', async () => {
    const port = await freePort()
    expect(findPortHolder(port, '0.0.0.0')).toBeUndefined()
    await listen(port, '127.0.0.1')
    for (const address of ['127.0.0.1', '0.0.0.0', '::']) {
      const found = findPortHolder(port, address)
      expect(found).toMatchObject({ pid: process.pid, address: '127.0.0.1', uid: process.getuid?.() })
      expect(found?.command).toMatch(/node/)
    }
    // Under the same-port rule it is not in the way of the machine's other addresses.
    expect(findPortHolder(port, '127.0.0.2')).toBeUndefined()
    expect(findPortHolder(port, '127.0.0.2', '127.0.0.1')?.pid).toBe(process.pid)
    expect(portHolders(port)).toEqual({ pids: new Set([process.pid]), hasUnseen: false })
  })

  it('is nobody when nobody is in the way, and find-process is not asked', async () => {
    const port = await freePort()
    expect(await identifyPortHolder(port, '127.0.0.1', false)).toBeUndefined()
  })
})

describe('Who holds a port that this process cannot see', () => {
  it('is told by find-process where lsof is missing', async (t) => {
    const ss = await run(['sh', '-c', 'command -v ss'])
    if (ss.code !== 0) return t.skip('SKIPPED, NOT TESTED: ss is missing')
    const port = await freePort()
    await listen(port, '127.0.0.1')
    const folder = mkdtempSync(path.join(tmpdir(), 'pw-tools-'))
    for (const tool of ['ss', 'ps', 'sh']) {
      symlinkSync((await run(['sh', '-c', `command -v ${tool}`])).stdout.trim(), path.join(folder, tool))
    }
    const before = process.env.PATH
    try {
      process.env.PATH = folder
      await chooseSystem('portable')
      expect(findPortHolder(port, '127.0.0.1')).toBeUndefined()
      const found = await identifyPortHolder(port, '127.0.0.1', true)
      expect(found?.pid).toBe(process.pid)
      expect(found?.command).toMatch(/node/)
    } finally {
      process.env.PATH = before
      await chooseSystem('linux')
      rmSync(folder, { recursive: true })
    }
  })
})

describe('A process in words', () => {
  it('has its PID and its command line', () => {
    expect(describeProcess({ pid: 42, command: 'node a.js' })).toBe('PID 42 (node a.js)')
    expect(describeProcess({ pid: 42, command: undefined })).toBe('PID 42 (unknown)')
    expect(describeProcess({ pid: undefined, command: undefined })).toBe('a process of another user')
  })

  it('has its command line shortened, on one line', () => {
    expect(shortCommand('node\n(x)')).toBe('node␊[x]')
    expect(shortCommand('x'.repeat(100))).toBe(`${'x'.repeat(79)}…`)
  })

  it('is named by its program outside of this machine', () => {
    const processes = [
      { pid: 42, command: '/usr/bin/psql --password secret' },
      { pid: 43, command: 'node' },
      { pid: 44, command: undefined },
    ]
    const told = describeProcesses(processes.map(withProgramOnly))
    expect(told).toBe('PID 42 (psql) and PID 43 (node) and PID 44 (unknown)')
  })
})
