import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, it } from 'vitest'
import { SourceLimits } from '../../src/forward/limits/source-limits.ts'
import { sourceNetwork } from '../../src/os/interfaces.ts'
import { fate, openForward, openTarget, roundTrip } from '../support/forward.ts'

describe('limits of one source', () => {
  it('PC: so many connections at once, and room when one ends', async () => {
    const target = await openTarget()
    const forwarded = await openForward(target, { maxConnectionsPerSource: 2 })
    const clients = [await forwarded.connect(), await forwarded.connect()]
    for (const client of clients) await roundTrip(client)
    const to = { host: '127.0.0.1', port: forwarded.port }
    assert.equal(await fate(to), 'ECONNRESET')
    assert.deepEqual(
      forwarded.records.all.map(({ code, reason }) => [code, reason]),
      [['PC', 'it has 2 connections open, the limit of one source']],
    )
    // Another source is another matter.
    const other = await forwarded.connect({ ...to, localAddress: '127.0.0.2' })
    await roundTrip(other)
    clients[0]?.end()
    await forwarded.records.find(({ code }) => code === '--')
    await roundTrip(await forwarded.connect())
    assert.equal(forwarded.forwarder.health().connections.refused['max-connections-per-source'], 1)
    forwarded.close()
    await target.close()
  })

  it('PC: so many new ones a second; a flood gets few lines in the log', async () => {
    const target = await openTarget((socket) => socket.resume().end())
    const forwarded = await openForward(target, { maxRatePerSource: 5 })
    const to = { host: '127.0.0.1', port: forwarded.port }
    const began = performance.now()
    const fates = await Promise.all(Array.from({ length: 55 }, () => fate(to)))
    const refilled = Math.ceil(((performance.now() - began) / 1000) * 5)
    const served = fates.filter((each) => each === 'FIN').length
    assert.ok(served >= 5 && served <= 5 + refilled, `${served} of 55, ${refilled} refilled`)
    assert.equal(fates.filter((each) => each === 'ECONNRESET').length, 55 - served)
    const lines = forwarded.events.all.filter(({ kind }) => kind === 'refused')
    assert.ok(lines.length >= 1 && lines.length <= 3, `${lines.length} lines`)
    forwarded.close()
    await target.close()
  })

  it('forget sources that are many, but none that has a connection', () => {
    const limits = new SourceLimits({ maxConnectionsPerSource: 1, maxRatePerSource: 1 })
    assert.equal(limits.admit('192.0.2.1'), undefined)
    for (let count = 0; count < 30_000; count++) {
      const address = `10.${count >> 16}.${(count >> 8) & 255}.${count & 255}`
      assert.equal(limits.admit(address), undefined)
      limits.release(address)
    }
    assert.ok(limits.size <= 10_000, `${limits.size}`)
    assert.equal(limits.admit('192.0.2.1'), 'max-connections-per-source')
  })

  it('cost no table when they are off', () => {
    const limits = new SourceLimits({ maxConnectionsPerSource: 0, maxRatePerSource: 0 })
    for (let count = 0; count < 100; count++) assert.equal(limits.admit(`10.0.0.${count}`), undefined)
    assert.equal(limits.size, 0)
  })

  it('take an IPv6 /64 for one source, and an IPv4 address for one, mapped or not', () => {
    assert.equal(sourceNetwork('::ffff:10.0.0.1'), '10.0.0.1')
    assert.equal(sourceNetwork('2001:db8:1:2:a:b:c:d'), sourceNetwork('2001:DB8:1:2::1'))
    assert.notEqual(sourceNetwork('2001:db8:1:2::1'), sourceNetwork('2001:db8:1:3::1'))
    assert.equal(sourceNetwork('fe80::1%eth0'), sourceNetwork('fe80::2%eth1'))
    assert.equal(sourceNetwork('::1'), '0:0:0:0::/64')
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const key = sourceNetwork(address)
        return key.includes('.') || key.endsWith('::/64')
      }),
    )
  })
})
