// The two backends of os/ side by side, on Linux, where both can answer.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { descriptorLimit, limitFromShell } from '../../src/os/descriptor-limit.ts'
import { linux } from '../../src/os/linux/index.ts'
import { portable } from '../../src/os/portable/index.ts'
import { parseListeners } from '../../src/os/portable/lsof.ts'
import { parseStatLine } from '../../src/os/portable/ps.ts'
import { Resident } from '../support/resident.ts'
import { freePort, until } from '../support/tools.ts'

const nobody = 2 ** 22 + 1
const backends = [linux, portable] as const

/** Runs with other environment variables. */
async function withEnvironment(changed: NodeJS.ProcessEnv, use: () => Promise<void> | void): Promise<void> {
  const before = { ...process.env }
  Object.assign(process.env, changed)
  try {
    await use()
  } finally {
    for (const name of Object.keys(changed)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  }
}

describe.each(backends)('$name tells of a process', (system) => {
  it('whether it runs, is stopped, or is gone', async () => {
    const child = spawn('sleep', ['60'])
    const pid = child.pid ?? 0
    const state = () => {
      const stat = system.processStat(pid)
      return typeof stat === 'object' ? stat.state : stat
    }
    expect(state()).toMatch(/^[RSDI]$/)
    child.kill('SIGSTOP')
    await until('stopped', async () => state() === 'T' || undefined)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(state()).toBeUndefined()
    expect(system.processStat(nobody)).toBeUndefined()
  })

  it('that has ended and that nobody has waited for', async () => {
    const script =
      'import os, time\nif (child := os.fork()) == 0: os._exit(0)\nprint(child, flush=True)\ntime.sleep(600)'
    const parent = new Resident(['python3', '-c', script], {})
    const pid = Number(await parent.line(/^\d+$/))
    const stat = await until('a zombie', async () => {
      const now = system.processStat(pid)
      return typeof now === 'object' && now.state === 'Z' ? now : undefined
    })
    expect(stat.parent).toBe(parent.pid)
    await parent.stop('SIGKILL')
  })

  it('its place in the table, its user, its arguments, its file and its folder', async () => {
    const child = spawn('sleep', ['61'], { detached: true, cwd: tmpdir() })
    const pid = child.pid ?? 0
    await until('it runs sleep', async () => system.commandLine(pid)?.[0] === 'sleep' || undefined)
    expect(system.processTable().find((entry) => entry.pid === pid)).toMatchObject({
      parent: process.pid,
      processGroup: pid,
      session: pid,
      // What it took to begin: none, or one on a machine that is busy.
      cpuTicks: expect.any(Number),
      isExiting: false,
    })
    expect(system.processTable().find((entry) => entry.pid === pid)).toEqual({
      pid,
      ...(system.processStat(pid) as object),
    })
    expect(system.commandLine(pid)).toEqual(['sleep', '61'])
    expect(system.userOf(pid)).toBe(process.getuid?.())
    expect(path.basename(system.executableOf(pid) ?? '')).toMatch(/^(sleep|coreutils|busybox)$/)
    expect(system.workingDirectoryOf(pid)).toBe(realpathSync(tmpdir()))
    child.kill('SIGKILL')
    await once(child, 'exit')
    for (const ask of [system.commandLine, system.userOf, system.executableOf, system.workingDirectoryOf])
      expect(ask(pid), ask.name).toBeUndefined()
  })

  it('which of two was started later', async () => {
    const own = system.processStat(process.pid)
    const first = system.processStat(1)
    const order = (stat: typeof own) => system.startOrder(typeof stat === 'object' ? stat.startTime : '')
    expect(order(own)).toBeGreaterThanOrEqual(order(first))
    expect(order(own)).not.toBeNaN()
  })

  it('its memory', async () => {
    const held = 'held = b"x" * (64 << 20)\nprint("filled", flush=True)\nimport time\ntime.sleep(600)'
    const large = new Resident(['python3', '-c', held], {})
    await large.line(/filled/)
    expect(system.memoryOf(large.pid)).toBeGreaterThan(64 << 20)
    expect(system.memoryOf(large.pid)).toBeLessThan(96 << 20)
    await large.stop('SIGKILL')
    expect(system.memoryOf(nobody)).toBeUndefined()
  })
})

describe.each(backends)('$name tells of a listening socket', (system) => {
  const servers: Server[] = []
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
  })
  const listen = async (port: number, host: string) => {
    const server = createServer().listen({ port, host, ipv6Only: host === '::1' })
    servers.push(server)
    await once(server, 'listening')
    return server
  }

  it('who holds it, on which address', async () => {
    const port = await freePort()
    expect(system.holdersOf(port)).toEqual([])
    await listen(port, '127.0.0.1')
    await listen(port, '::1')
    const found = system.holdersOf(port).map(({ address, pids }) => ({ address, pids }))
    expect(found).toHaveLength(2)
    for (const address of ['127.0.0.1', '::1']) expect(found).toContainEqual({ address, pids: [process.pid] })
  })

  it('on all addresses', async () => {
    const port = await freePort()
    await listen(port, '::')
    expect(system.holdersOf(port)).toMatchObject([{ address: '::', pids: [process.pid] }])
    expect(system.listeningPorts([process.pid])).toContain(port)
    expect(system.listeningPorts([])).toEqual([])
  })

  it('where a descriptor of this process listens', async () => {
    const port = await freePort()
    const server = await listen(port, '127.0.0.1')
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle
    expect(system.listeningPortOf(fd)).toBe(port)
    const file = openSync('/dev/null', 'r')
    expect(system.listeningPortOf(file)).toBeUndefined()
    closeSync(file)
  })
})

describe('Without /proc', () => {
  it('the limit of descriptors is read by a shell', () => {
    expect(limitFromShell()).toBe(descriptorLimit())
  })

  it('a process has the same start time in every time zone and locale', async () => {
    const seen: unknown[] = []
    for (const TZ of ['Asia/Tokyo', 'America/New_York']) {
      await withEnvironment({ TZ, LC_ALL: 'de_DE.UTF-8' }, () => {
        const stat = portable.processStat(process.pid)
        seen.push(typeof stat === 'object' ? stat.startTime : stat)
      })
    }
    expect(seen[0]).toMatch(/^\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}$/)
    expect(seen[1]).toBe(seen[0])
  })

  it('and without ps nothing is called gone, and doctor is told what is missing', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'pw-tools-'))
    await withEnvironment({ PATH: folder }, () => {
      expect(portable.processStat(process.pid)).toBe('unreadable')
      expect(portable.processTable()).toEqual([])
      expect(portable.holdersOf(1)).toEqual([])
      expect(portable.missingTools()).toEqual(['ps', 'lsof'])
    })
    // BusyBox has a ps that knows none of these options.
    writeFileSync(path.join(folder, 'ps'), '#!/bin/sh\necho "ps: unrecognized option: p" >&2\nexit 1\n', {
      mode: 0o755,
    })
    await withEnvironment({ PATH: folder }, () => {
      expect(portable.processStat(process.pid)).toBe('unreadable')
    })
    rmSync(folder, { recursive: true })
    expect(portable.missingTools()).toEqual([])
  })

  it('a line of ps is read as macOS writes it', () => {
    const line = '  501     1   501 Ss+    1-02:03:04.56 Thu Nov  6 17:40:26 2026'
    expect(parseStatLine(line)).toEqual({
      pid: 501,
      parent: 1,
      processGroup: 501,
      session: 501,
      state: 'S',
      isExiting: false,
      cpuTicks: ((24 + 2) * 3600 + 3 * 60 + 4) * 100 + 56,
      startTime: 'Thu Nov 6 17:40:26 2026',
    })
    expect(parseStatLine('1 2 3 S 0:00.01 -')).toBeUndefined()
    expect(parseStatLine('')).toBeUndefined()
  })

  it('what lsof says is read with every kind of address', () => {
    const text = 'p12\nf3\nn*:80\nf4\nn[::1]:80\np13\nf9\nn127.0.0.1:80\nn[fe80::1%en0]:80\n'
    expect(parseListeners(text)).toEqual([
      { pid: 12, address: '::' },
      { pid: 12, address: '::1' },
      { pid: 13, address: '127.0.0.1' },
      { pid: 13, address: 'fe80::1%en0' },
    ])
    expect(parseListeners('')).toEqual([])
  })
})
