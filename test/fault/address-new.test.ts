// An IPv6 address is new: for some seconds, or as long as its link is down, the kernel lets nobody bind it.
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { BindReport, newAddressPatienceMs } from '../../src/forward/listen/bind-report.ts'
import { successful } from '../support/bad-wire.ts'
import { type Lab, whyNoLab } from '../support/namespaces.ts'
import { skipFor, until } from '../support/tools.ts'
import { command } from '../support/watched.ts'
import { inLab, startForwarder } from '../support/wire-room.ts'

const skip = skipFor(whyNoLab())
const address = 'fd77::9'

/** Adds an address that the kernel makes sure of first. */
async function addAddress(lab: Lab): Promise<void> {
  await successful(lab.host.run(['ip', 'address', 'add', `${address}/64`, 'dev', 'veth0']))
  const { stdout } = await lab.host.run(['ip', '-6', 'address', 'show', 'dev', 'veth0', 'to', address])
  assert.match(stdout, /tentative/, 'the test comes too late for its fault')
}

describe('a new IPv6 address', { skip }, () => {
  it('is served when the kernel has made sure of it, and nobody is warned of those seconds', () =>
    inLab(async (lab) => {
      const { program, health } = await startForwarder(lab, 6274, 'localhost', '6274')
      await addAddress(lab)
      const served = program.line(/Listening on \[fd77::9\]:6274/)
      let failing: readonly unknown[] = []
      for (let isServed = false; !isServed; ) {
        failing = [...failing, ...(await health()).listen.failed]
        isServed = await Promise.race([
          served.then(() => true),
          new Promise<false>((go) => setTimeout(go, 50, false)),
        ])
      }
      assert.deepEqual(failing, [])
      assert.doesNotMatch(program.output, /Cannot listen/)
    }))

  it('is waited for when it is the only one to listen on', () =>
    inLab(async (lab) => {
      await addAddress(lab)
      const { program } = await startForwarder(lab, 6274, lab.visitor.address.ipv6, '7000', '--bind', address)
      assert.doesNotMatch(program.output, /Cannot listen/)
    }))

  it('that another machine has is told as what it is', () =>
    inLab(async (lab) => {
      await successful(lab.visitor.run(['ip', 'address', 'add', `${address}/64`, 'dev', 'veth0', 'nodad']))
      const { program, health } = await startForwarder(lab, 6274, 'localhost', '6274')
      await addAddress(lab)
      const said = await program.line(/Cannot listen on \[fd77::9\]/)
      assert.match(said, /another machine on that network has the same address/)
      assert.match((await health()).listen.failed[0]?.error ?? '', /another machine/)
      const only = await lab.host.run(
        command('tcp-proxy', '6275', 'localhost', '7000', '--bind', address, '--state-dir', lab.folder),
      )
      assert.equal(only.code, 78)
      assert.match(only.stderr, /cannot listen on \[fd77::9\]:6275: another machine/)
    }))

  it('whose link is down is no address to listen on, and served when the link is up', () =>
    inLab(async (lab) => {
      const { program } = await startForwarder(lab, 6274, 'localhost', '6274')
      // The kernel tells of it up to a second after it shows, and checks new addresses until then.
      const told = lab.host.start(['ip', 'monitor', 'link'])
      await until('it listens', async () => {
        await successful(lab.host.run(['ip', 'link', 'set', 'lo', 'alias', 'anything']))
        await successful(lab.host.run(['ip', 'link', 'set', 'lo', 'alias', '']))
        return told.output.includes('lo:') || undefined
      })
      await successful(lab.visitor.run(['ip', 'link', 'set', 'veth0', 'down']))
      await told.line(/veth0.*NO-CARRIER/)
      await addAddress(lab)
      const only = await lab.host.run(
        command('tcp-proxy', '6275', 'localhost', '7000', '--bind', address, '--state-dir', lab.folder),
      )
      assert.equal(only.code, 78)
      assert.match(only.stderr, /still checking that no other machine .* has the address; is the link up\?/)
      await successful(lab.visitor.run(['ip', 'link', 'set', 'veth0', 'up']))
      await program.line(/Listening on .*\[fd77::9\]:6274/)
      assert.doesNotMatch(program.output, /Cannot listen/)
    }))
})

describe('A failed bind', () => {
  it('is told after some seconds when the address may just be new', () => {
    let now = 0
    const report = new BindReport(() => now)
    const failed = [{ place: 'fd77::9', error: Object.assign(new Error('x'), { code: 'EADDRNOTAVAIL' }) }]
    for (; now < newAddressPatienceMs; now += 1000) assert.deepEqual(report.next(failed), [])
    assert.deepEqual(report.next(failed), failed)
    assert.deepEqual(report.next(failed), [])
  })

  const taken = { place: '10.0.0.1', error: Object.assign(new Error('x'), { code: 'EADDRINUSE' }) }

  it('is told once for as long as it lasts, and again when it comes back', () => {
    const report = new BindReport(() => 0)
    assert.deepEqual(report.next([taken]), [taken])
    assert.deepEqual(report.next([taken]), [])
    assert.deepEqual(report.problems([taken]), [taken])
    assert.deepEqual(report.next([]), [])
    assert.deepEqual(report.next([taken]), [taken])
  })
})
