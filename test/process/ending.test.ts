import assert from 'node:assert/strict'
import { it } from 'vitest'
import { system } from '../../src/os/system.ts'
import { endProcesses as end, leftBehind as left } from '../../src/process/ending.ts'
import { identityOf, judgeProcess, type ProcessIdentity } from '../../src/process/identity.ts'
import { isOwnProgram } from '../../src/process/own-processes.ts'
import { Resident } from '../support/resident.ts'
import { onEverySystem } from '../support/systems.ts'
import { until } from '../support/tools.ts'

/** A leader of a session of its own, with what its script says that it starts; each says `NAME PID`. */
async function session(script: string, names: readonly string[]) {
  const leader = new Resident(['bash', '-c', `${script}; echo ready; wait; sleep 60`], {})
  await leader.line(/^ready$/)
  const pids = await Promise.all(
    names.map(async (name) => Number((await leader.line(new RegExp(`^${name} `))).split(' ')[1])),
  )
  const identities = [leader.pid, ...pids].map((pid) => {
    const identity = identityOf(pid)
    assert.ok(identity, `${pid} runs`)
    return identity
  })
  return { leader, own: identities[0] as ProcessIdentity, members: identities.slice(1) }
}

const endProcesses = (leader: ProcessIdentity, killAfterMs: number) => end(leader, killAfterMs, isOwnProgram)
const leftBehind = (leader: ProcessIdentity) => left(leader, isOwnProgram)

const isGone = (identity: ProcessIdentity) => ['gone', 'zombie', 'reused'].includes(judgeProcess(identity))
/** One word on the command line by which a process is one of this package's. */
const asOurs = `exec ${process.execPath} -e 'setTimeout(() => {}, 60_000); console.log("armed")' /opt/port-watchdog/tcp-proxy.js`

onEverySystem('The end of a process and all that it has started', () => {
  it('takes children and orphans along, by SIGTERM', async () => {
    const { own, members } = await session('sleep 60 & echo child $!; (sleep 60 & echo orphan $!)', [
      'child',
      'orphan',
    ])
    assert.deepEqual(await endProcesses(own, 10_000), [])
    for (const identity of [own, ...members]) assert.ok(isGone(identity), JSON.stringify(identity))
  })

  it('waits for a child that ignores SIGTERM although its leader has ended, and kills it when time is up', async () => {
    const ignoring = `bash -c 'trap "" TERM; echo armed; while :; do sleep 60; done' & echo child $!`
    const { leader, own, members } = await session(ignoring, ['child'])
    await leader.line(/^armed$/)
    const began = performance.now()
    assert.deepEqual(await endProcesses(own, 300), [])
    assert.ok(performance.now() - began >= 300)
    for (const identity of [own, ...members]) assert.ok(isGone(identity))
  })

  it('ends what is stopped, without SIGKILL', async () => {
    const { own, members } = await session('sleep 60 & echo child $!', ['child'])
    for (const { pid } of [...members, own]) process.kill(pid, 'SIGSTOP')
    const began = performance.now()
    assert.deepEqual(await endProcesses(own, 30_000), [])
    assert.ok(performance.now() - began < 20_000)
    for (const identity of [own, ...members]) assert.ok(isGone(identity))
  })

  it('leaves alone who left with a session of their own', async () => {
    const { own, members } = await session('setsid sleep 60 & echo left $!', ['left'])
    const [left] = members
    assert.ok(left)
    await until('it has left', async () => {
      return system.processTable().find(({ pid }) => pid === left.pid)?.session === left.pid || undefined
    })
    assert.deepEqual(await endProcesses(own, 10_000), [])
    assert.equal(judgeProcess(left), 'alive')
    process.kill(left.pid, 'SIGKILL')
  })

  it('whose leader is gone: ends what is proven to be ours, and nobody else of that session', async () => {
    const script = `(${asOurs}) & echo ours $!; sleep 61 & echo stranger $!`
    const { leader, own, members } = await session(script, ['ours', 'stranger'])
    const [ours, stranger] = members
    assert.ok(ours && stranger)
    await leader.line(/^armed$/)
    process.kill(leader.pid, 'SIGKILL')
    await until('the leader is gone', async () => isGone(own) || undefined)
    await until('its zombie, too', async () => judgeProcess(own) === 'gone' || undefined)
    const [rest, ...others] = leftBehind(own)
    assert.equal(rest?.pid, ours.pid)
    assert.match(rest?.command ?? '', /node/)
    assert.deepEqual(others, [])
    assert.deepEqual(await endProcesses(own, 10_000), [])
    assert.ok(isGone(ours))
    assert.equal(judgeProcess(stranger), 'alive')
    process.kill(stranger.pid, 'SIGKILL')
  })

  it('whose PID is another process now: signals nobody', async () => {
    const { leader, own, members } = await session('sleep 60 & echo child $!', ['child'])
    const startTime = system.name === 'linux' ? String(Number(own.startTime) - 1) : 'Thu Jan 1 00:00:01 1970'
    const recorded = { ...own, startTime }
    assert.deepEqual(leftBehind(recorded), [])
    assert.deepEqual(await endProcesses(recorded, 0), [])
    for (const identity of [own, ...members]) assert.equal(judgeProcess(identity), 'alive')
    await leader.stop('SIGKILL')
  })

  it('that leads no group: ends it and its children, and none of the group it is in', async () => {
    const script = `bash -c 'sleep 60 & echo child $!; wait' & echo parent $!; sleep 61 & echo other $!`
    const { leader, own, members } = await session(script, ['parent', 'other', 'child'])
    const [parent, other, child] = members
    assert.ok(parent && other && child)
    assert.deepEqual(await endProcesses(parent, 10_000), [])
    assert.ok(isGone(parent) && isGone(child))
    assert.equal(judgeProcess(other), 'alive')
    assert.equal(judgeProcess(own), 'alive')
    await leader.stop('SIGKILL')
  })
})
