// Which sources --allow admits: families apart, and by claim less than by socket.
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { parseNetwork } from '../../src/config/values.ts'
import { createAdmission } from '../../src/forward/limits/admission.ts'
import { machineAddresses } from '../../src/os/interfaces.ts'
import { networks } from '../../src/os/networks.ts'
import { buildLab, whyNoLab } from '../support/namespaces.ts'
import { skipFor } from '../support/tools.ts'
import { command } from '../support/watched.ts'

const value = (text: string) => {
  const parsed = parseNetwork(text)
  return parsed.ok ? parsed.value : parsed.problem
}

describe('--allow', () => {
  it('keeps IPv4 and IPv6 apart', () => {
    const isV6 = networks(['::/0'])
    for (const address of ['8.8.8.8', '10.0.0.1', '::ffff:8.8.8.8'])
      assert.equal(isV6(address), false, address)
    for (const address of ['::1', '2001:db8::1', 'fe80::1%eth0']) assert.equal(isV6(address), true, address)
    const isV4 = networks(['0.0.0.0/0'])
    for (const address of ['8.8.8.8', '::ffff:8.8.8.8']) assert.equal(isV4(address), true, address)
    for (const address of ['::1', '2001:db8::1']) assert.equal(isV4(address), false, address)
  })

  it('takes IPv4 networks written as IPv6 for what they are', () => {
    assert.equal(value('::ffff:10.0.0.0/104'), '10.0.0.0/8')
    assert.equal(value('::FFFF:a00:0/104'), '10.0.0.0/8')
    assert.equal(value('0:0:0:0:0:ffff:10.1.2.3'), '10.1.2.3/32')
    assert.equal(value('::ffff:0.0.0.0/96'), '0.0.0.0/0')
    assert.match(value('::ffff:10.0.0.0/8'), /holds more than IPv4 addresses/)
    assert.match(value('fe80::1%eth0/64'), /no zone: write fe80::1\/64/)
    assert.match(value('fe80::1%eth0'), /no zone/)
  })

  it('admits this machine by its sockets, and by no claim', () => {
    const admission = createAdmission(['192.168.77.0/24'])
    for (const address of ['127.0.0.1', '::1', ...machineAddresses().map((own) => own.address)]) {
      assert.equal(admission.admits(address), true, address)
      assert.equal(admission.admitsClaimed(address), false, address)
    }
    assert.equal(admission.admitsClaimed('192.168.77.9'), true)
    assert.equal(createAdmission([]).admitsClaimed('127.0.0.1'), false)
    assert.equal(createAdmission(['any']).admitsClaimed('127.0.0.1'), true)
  })
})

const obstacle = whyNoLab()

describe('A proxy on another machine', { skip: skipFor(obstacle) }, () => {
  it('gets its own health checks through, and clients that it does not name only as --allow says', async () => {
    const lab = buildLab()
    try {
      const { ipv4 } = lab.visitor.address
      const target = lab.host.start(['python3', '-um', 'http.server', '21002', '--bind', '127.0.0.1'])
      await target.line(/Serving HTTP/)
      const words = [
        '21001',
        '127.0.0.1',
        '21002',
        '--accept-proxy',
        ipv4,
        '--allow',
        '192.168.0.0/16',
        '--state-dir',
        `${lab.folder}/state`,
      ]
      const forward = lab.host.start(command('tcp-proxy', ...words))
      await forward.line(/Listening on/)
      const ask = async (header: string) => {
        const program = `import socket,sys
s=socket.create_connection(('${lab.host.address.ipv4}',21001))
s.sendall(bytes.fromhex('${Buffer.from(header, 'latin1').toString('hex')}')+b'GET / HTTP/1.0\\r\\n\\r\\n')
try: print(s.recv(8))
except OSError: print('reset')`
        return (await lab.visitor.run(['python3', '-c', program])).stdout.trim()
      }
      const signature = '\r\n\r\n\0\r\nQUIT\n'
      assert.match(await ask(`${signature}\x20\x00\x00\x00`), /HTTP/, 'LOCAL')
      assert.match(await ask('PROXY TCP4 192.168.1.1 1.1.1.1 1 1\r\n'), /HTTP/)
      for (const header of [
        'PROXY UNKNOWN\r\n',
        'PROXY UNKNOWN 8.8.8.8\r\n',
        `${signature}\x21\x00\x00\x00`,
        `${signature}\x21\x31\x00\xd8${'\0'.repeat(216)}`,
        'PROXY TCP4 127.0.0.1 1.1.1.1 1 1\r\n',
        `PROXY TCP4 ${lab.host.address.ipv4} 1.1.1.1 1 1\r\n`,
      ])
        assert.doesNotMatch(await ask(header), /HTTP/, JSON.stringify(header.slice(0, 40)))
    } finally {
      lab.remove()
    }
  })
})
