// What a monitor cannot start a forwarder for want of is a fault of this machine: no failure of the forward.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chownSync } from 'node:fs'
import { describe, it } from 'vitest'
import { shortageAtStart, shortageOf } from '../../src/os/shortage.ts'
import { launchMonitor } from '../support/monitored.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, command, echoServer, withWatched } from '../support/watched.ts'

const somebody = 54_322

describe('A forwarder that cannot be started', () => {
  it('for want of processes (EAGAIN) counts as no failure, and is back when there are some again', (t) => {
    const asSomebody = ['setpriv', `--reuid=${somebody}`, `--regid=${somebody}`, '--clear-groups']
    const tried = spawnSync('setpriv', [...asSomebody.slice(1), ...command('proxy-monitor', '--version')])
    if (process.getuid?.() !== 0 || tried.status !== 0)
      return t.skip('it takes root, and a checkout that other users can read')
    return withWatched(async (watched) => {
      const echo = await echoServer()
      const port = await freePort()
      chownSync(watched.directory, somebody, somebody)
      const monitor = launchMonitor(watched, {
        forwards: [{ name: 'web', listen: port, target: `localhost:${echo.port}` }],
        restart: { failureThreshold: 2, flappingRestarts: 2, flappingPause: '1h' },
        words: ['--stop-forwards'],
        under: (argv) => [...asSomebody, ...argv],
      })
      await monitor.line(/web started successfully/)
      const limit = (...words: string[]) => {
        const argv = [...asSomebody.slice(1), 'prlimit', '--pid', String(monitor.pid), ...words]
        return execFileSync('setpriv', argv, { encoding: 'utf8' }).trim()
      }
      const usual = limit('--nproc', '--output=SOFT', '--noheadings')
      limit('--nproc=1:')
      process.kill(watched.pid(port), 'SIGKILL')
      await monitor.line(/web cannot be started: .*this user may start no more processes/)
      limit(`--nproc=${usual}:`)
      await watched.logLine(/(started successfully[\s\S]*){2}/)
      assert.equal(await askThrough(port), 'hello')
      assert.doesNotMatch(watched.log(), /failure #2|flapping|ALERT/)
      assert.equal(await monitor.stop(), 0)
      await echo.close()
    })
  })
})

describe('An error of the system that means a shortage of this machine', () => {
  const kinds = {
    EMFILE: 'descriptors',
    ENFILE: 'descriptors',
    ENOMEM: 'memory',
    ENOBUFS: 'memory',
    ENOSPC: 'disk',
    EDQUOT: 'disk',
    EIO: 'disk',
  }
  it('is known wherever it comes from', () => {
    for (const [code, kind] of Object.entries(kinds)) {
      assert.equal(shortageOf(code)?.kind, kind, code)
      assert.equal(shortageAtStart(code)?.kind, kind, code)
    }
    for (const code of ['EACCES', 'ECONNREFUSED', 'EADDRINUSE', undefined])
      assert.equal(shortageOf(code), undefined, code)
  })

  it('means more when a program was to be started', () => {
    assert.equal(shortageAtStart('EAGAIN')?.kind, 'processes')
    for (const code of ['ENOENT', 'ENOEXEC', 'ETXTBSY'])
      assert.equal(shortageAtStart(code)?.kind, 'program', code)
    for (const code of ['EAGAIN', 'ENOENT']) assert.equal(shortageOf(code), undefined, code)
  })
})
