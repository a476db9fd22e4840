import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, it } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import { openTarget } from '../support/forward.ts'
import { startTcpProxy } from '../support/forwarder-process.ts'

describe('A connection at the gate', () => {
  it('has its bytes counted while it is open, and when it is stopped', async () => {
    const target = await openTarget()
    const forward = await startTcpProxy(`127.0.0.1 ${target.port}`, ['--gate', 'token'])
    const visitor = connect({ host: '127.0.0.1', port: forward.port }).on('error', () => {})
    await once(visitor, 'connect')
    const request = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
    visitor.write(request)
    let got = 0
    visitor.on('data', (chunk: Buffer) => {
      got += chunk.length
    })
    await once(visitor, 'data')
    const open = await forward.health()
    assert.equal(open.bytes.fromClients, request.length)
    assert.ok(open.bytes.fromTarget > 0)

    await askControl(forward.control, 'kill', { source: '127.0.0.1' })
    const [record] = await forward.records.count(1)
    assert.deepEqual([record?.bytesFromClient, record?.bytesFromTarget], [request.length, got])
    const { bytes } = await forward.health()
    assert.deepEqual(bytes, { fromClients: request.length, fromTarget: got })
    await forward.close()
    await target.close()
  })
})
