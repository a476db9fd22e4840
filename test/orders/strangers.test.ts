import { chmodSync, chownSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { it } from '../support/fixtures.ts'
import { healthyAs, startMonitor } from '../support/monitored.ts'
import { freePort, run } from '../support/tools.ts'
import { askThrough, command, echoServer, type Watched, withWatched } from '../support/watched.ts'

/** Neither root nor the user of the monitor. */
const stranger = 65_534

async function oneForward(use: (watched: Watched, port: number) => Promise<void>): Promise<void> {
  await withWatched(async (watched) => {
    const echo = await echoServer()
    const port = await freePort()
    await startMonitor(watched, {
      forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}` }],
    })
    await healthyAs(watched, port)
    await use(watched, port)
    await echo.close()
  })
}

function asUser(uid: number, watched: Watched, ...words: string[]) {
  const ids = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  return run(['setpriv', ...ids, ...command('proxy-ctl', ...words, '--state-dir', watched.directory)])
}

describe.runIf(process.getuid?.() === 0)('An order of another user', () => {
  it('is refused: neither the state directory nor the socket lets them in', () =>
    oneForward(async (watched, port) => {
      for (const open of [false, true]) {
        // Whoever opens the directory has not opened the socket.
        if (open) chmodSync(watched.directory, 0o755)
        const { code, stderr } = await asUser(stranger, watched, 'stop', 'web')
        expect(code).toBe(77)
        expect(stderr).toContain('belongs to another user')
      }
      expect(await askThrough(port)).toBe('hello')
    }))

  it('is refused also to one who got in and says who they are', () =>
    oneForward(async (watched, port) => {
      const actor = { user: 'mallory', uid: stranger, via: 'cli' }
      const order = { order: 'stop', input: { units: ['web'] }, actor }
      const answer = await askControl(watched.file('control.sock'), 'order', order)
      expect(answer).toMatchObject({ done: false, error: { code: 'not-permitted' } })
      expect(await askThrough(port)).toBe('hello')
    }))

  it('is taken when that is root, and says so', async ({ watched }) => {
    chownSync(watched.directory, stranger, stranger)
    const words = command(
      'proxy-monitor',
      '--config',
      watched.file('pw.json'),
      '--state-dir',
      watched.directory,
    )
    const echo = await echoServer()
    const port = await freePort()
    const { writeFileSync } = await import('node:fs')
    const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
    writeFileSync(watched.file('pw.json'), JSON.stringify({ forwards }))
    chownSync(watched.file('pw.json'), stranger, stranger)
    const { Resident } = await import('../support/resident.ts')
    const ids = [`--reuid=${stranger}`, `--regid=${stranger}`, '--clear-groups']
    const monitor = watched.adopt(new Resident(['setpriv', ...ids, ...words], {}))
    await monitor.line(/Monitor started/)
    await healthyAs(watched, port)
    const stopped = await watched.run('proxy-ctl', 'stop', 'web')
    expect([stopped.code, stopped.stdout]).toEqual([0, expect.stringMatching(/web +down/)])
    expect(watched.log()).toMatch(/Order of root \(UID 0, cli\): stop web: done/)
    await echo.close()
  })
})
