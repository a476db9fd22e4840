import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { healthOf } from '../support/inherited.ts'
import { freePort, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

describe('An access log that cannot be written', () => {
  it('is told at the start, in the log and in the health, and when it can be written', async ({
    watched,
  }) => {
    const echo = await echoServer()
    const port = await freePort()
    const folder = watched.file('not-there')
    const log = join(folder, 'access.log')
    const forward = watched.start(
      'tcp-proxy',
      String(port),
      'localhost',
      String(echo.port),
      '--access-log',
      log,
    )
    await forward.line(
      /The access log .*access\.log cannot be written: ENOENT.*; its lines are lost until it can/,
    )
    await forward.line(/Listening on/)
    assert.equal(await askThrough(port), 'hello')
    const { warnings } = await healthOf(watched, port)
    assert.match(warnings.join(), /the access log cannot be written: ENOENT/)

    mkdirSync(folder)
    await forward.line(/The access log .* is written again/)
    assert.equal(await askThrough(port), 'hello')
    await until('a record', async () => (/"code":"--"/.test(readFileSync(log, 'utf8')) ? true : undefined))
    assert.deepEqual((await healthOf(watched, port)).warnings, [])

    // Later, too: its folder goes away.
    renameSync(folder, `${folder}.old`)
    await until('told', async () => {
      await askThrough(port)
      const said = forward.output.match(/cannot be written: ENOENT/g)
      return said?.length === 2 ? true : undefined
    })
    rmSync(`${folder}.old`, { recursive: true })
    mkdirSync(folder)
    await until('told', async () =>
      forward.output.match(/is written again/g)?.length === 2 ? true : undefined,
    )
    await forward.stop()
    await echo.close()
  })
})
