import { assert, describe, expect, it } from 'vitest'
import type { Stray } from '../../src/watch/unit.ts'
import { deadCheck, identity, spoken } from '../support/observations.ts'
import { Play } from '../support/play.ts'

const stray = (state: Stray['state'], pid = 9): Stray => ({
  identity: identity(pid),
  stateDirectory: '/elsewhere',
  state,
})
const met = (state: Stray['state'], pid?: number) => ({ ...deadCheck(), stray: stray(state, pid) })

describe('A stray process that does the unit’s work', () => {
  it('is asked to hand over when it answers: nothing of it is ended, and nothing else is started', () => {
    const play = new Play().see(met('answers'))
    const adopt = play.effects.find((effect) => effect.kind === 'adopt')
    assert(adopt?.kind === 'adopt')
    expect(adopt).toMatchObject({ identity: identity(9), stateDirectory: '/elsewhere' })
    expect(play.state.phase.id).toBe('starting')
    expect(play.kinds()).not.toContain('start')
    expect(play.kinds()).not.toContain('stop')
    play.see({ kind: 'started', generation: adopt.generation, identity: identity(10) })
    expect(play.state.phase).toMatchObject({ id: 'running', identity: identity(10) })
    expect(play.state.failures).toBe(0)
  })

  it('is ended when three handovers have failed', () => {
    const play = new Play()
    for (let failed = 0; failed < 3; failed++) {
      play.see(met('answers'))
      const { generation } = play.state
      play.see({ kind: 'start-failed', generation, fault: spoken('it keeps the port'), isBlocked: true })
      expect(play.state.phase.id).toBe('blocked')
    }
    play.see(met('answers'))
    expect(play.effects).toContainEqual(expect.objectContaining({ kind: 'stop', identity: identity(9) }))
  })

  it('has ten seconds for its control socket when it is silent, is asked once for it, and is ended after that', () => {
    const play = new Play().see(met('silent'))
    expect(play.kinds()).toContain('ask-back')
    expect(play.state.phase).toMatchObject({ id: 'blocked', stray: { pid: 9, since: play.now } })
    play.see(met('silent'), 9_999)
    expect(play.kinds()).toStrictEqual(['wake'])
    play.see(met('silent'), 1)
    expect(play.effects).toContainEqual(expect.objectContaining({ kind: 'stop', identity: identity(9) }))
    expect(play.state.phase.id).toBe('stopping')
  })

  it('is another one when its PID is: its ten seconds begin anew', () => {
    const play = new Play().see(met('silent')).see(met('silent', 11), 9_999).see(met('silent', 11), 9_999)
    expect(play.kinds()).toStrictEqual(['wake'])
  })

  it('is left alone when another monitor keeps it alive, which is said once', () => {
    const play = new Play().see(met('watched'))
    expect(play.kinds()).toContain('log')
    play.see(met('watched'), 10_000)
    expect(play.kinds()).toStrictEqual([])
    expect(play.history.filter(({ kind }) => kind === 'stop' || kind === 'adopt')).toStrictEqual([])
    expect(play.state.phase.id).toBe('blocked')
  })

  it('is ended on an order to stop that came before the first look, unless somebody else keeps it alive', () => {
    const order = { kind: 'order', order: 'stop', why: 'by hand' } as const
    for (const state of ['answers', 'silent', 'watched'] as const) {
      const play = new Play().see(order).see(met(state))
      expect(play.kinds().includes('stop'), state).toBe(state !== 'watched')
    }
  })
})
