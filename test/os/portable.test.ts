// What stands in for /proc where there is none, held against /proc.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import { descriptorLimit, limitFromShell } from '../../src/os/descriptor-limit.ts'
import { findPortHolder, findWithLsof, parseLsof } from '../../src/os/port-holder.ts'
import { readFromPs } from '../../src/os/process-identity.ts'
import { freePort } from '../support/forward.ts'

describe('Without /proc', () => {
  it('the limit of descriptors is read by a shell', () => {
    assert.equal(limitFromShell(), descriptorLimit())
  })

  it('a process has the same start time after a change of the time zone', () => {
    const before = process.env.TZ
    try {
      process.env.TZ = 'Asia/Tokyo'
      const inTokyo = readFromPs(process.pid)
      process.env.TZ = 'America/New_York'
      assert.deepEqual(readFromPs(process.pid)?.startTime, inTokyo?.startTime)
      assert.match(inTokyo?.startTime ?? '', /^\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}$/)
    } finally {
      if (before === undefined) delete process.env.TZ
      else process.env.TZ = before
    }
  })

  it('a stopped process is told from one that runs, and from none', async () => {
    const child = spawn('sleep', ['60'])
    assert.match(readFromPs(child.pid ?? 0)?.state ?? '', /^[RSDI]$/)
    child.kill('SIGSTOP')
    while (readFromPs(child.pid ?? 0)?.state !== 'T');
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.equal(readFromPs(child.pid ?? 0), undefined)
  })

  it('who holds a port is found by its address', async () => {
    const port = await freePort()
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    for (const address of ['127.0.0.1', '0.0.0.0', '::']) {
      assert.equal(findWithLsof(port, address)?.pid, process.pid)
      assert.deepEqual(findWithLsof(port, address), findPortHolder(port, address))
    }
    // Under the same-port rule it is not in the way of the machine's other addresses.
    assert.equal(findWithLsof(port, '127.0.0.2'), undefined)
    assert.equal(findPortHolder(port, '127.0.0.2'), undefined)
    server.close()
  })

  it('what lsof says is read with every kind of address', () => {
    const text = 'p12\nf3\nn*:80\nf4\nn[::1]:80\np13\nf9\nn127.0.0.1:80\nn[fe80::1%en0]:80\n'
    assert.deepEqual(parseLsof(text), [
      { pid: 12, address: '::' },
      { pid: 12, address: '::1' },
      { pid: 13, address: '127.0.0.1' },
      { pid: 13, address: 'fe80::1%en0' },
    ])
    assert.deepEqual(parseLsof(''), [])
  })
})
