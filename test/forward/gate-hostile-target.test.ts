import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { GateGroup } from '../../src/forward/gate/index.ts'
import { ask, listen, startGate } from '../support/gate.ts'

/** Answers with these bytes, whatever is asked, through a gate. */
async function statusOf(answer: string, headers: Readonly<Record<string, string>> = {}): Promise<number> {
  const target = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer))
  })
  const gate = await startGate(await listen(target))
  try {
    const authorization = `Bearer ${gate.secrets.token}`
    return (await ask(gate.port, { headers: { authorization, ...headers } })).status
  } finally {
    await gate.close()
    target.close()
  }
}

describe('A gate before a target that speaks no HTTP worth passing on', () => {
  for (const answer of [
    'HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 O\u0001K\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
  ]) {
    it(`answers 502 to ${JSON.stringify(answer.split('\r\n')[0])}`, async () => {
      assert.equal(await statusOf(answer), 502)
    })
  }

  it('answers 502 to a page with an impossible status, too', async () => {
    const answer = 'HTTP/1.1 000 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<head>'
    assert.equal(await statusOf(answer, { accept: 'text/html' }), 502)
  })
})

describe('A group of gates', () => {
  const schemes = { scheme: 'http', targetScheme: 'http' } as const
  const self = { listenPort: 6274, targetHost: 'localhost', targetPort: 6274, ...schemes }

  it('is this gate alone when its directory has vanished', () => {
    const directory = mkdtempSync(join(tmpdir(), 'pw-group-'))
    rmSync(directory, { recursive: true })
    assert.deepEqual(new GateGroup(directory, 'group', self).members(), [self])
  })

  it('passes over files that name no gate', () => {
    const directory = mkdtempSync(join(tmpdir(), 'pw-group-'))
    for (const [index, text] of ['null', '7', '{}', '{"group":"group"}', ''].entries())
      writeFileSync(join(directory, `tcp_proxy_${7000 + index}.gate`), text)
    try {
      assert.deepEqual(new GateGroup(directory, 'group', self).members(), [self])
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
