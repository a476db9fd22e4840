// Names of tools: every one fits every provider of models, and no two servers share one.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { connectorIdOf } from '../../src/config/connector-configuration.ts'
import {
  hashedName,
  isAllowed,
  longestName,
  longName,
  matches,
  offeredName,
} from '../../src/gateway/names.ts'

const id = fc.stringMatching(/^[a-z0-9]+(-[a-z0-9]+)*$/).filter((text) => text.length <= 30)

describe('the name that a tool is offered under', () => {
  it('is connectorId__tool where that fits', () => {
    expect(offeredName('echo', 'echo')).toBe('echo__echo')
    expect(offeredName('a', 'x__y')).toBe('a__x__y')
  })

  it('always fits, and is the same every time', () => {
    fc.assert(
      fc.property(id, fc.string({ maxLength: 200 }), (connector, tool) => {
        const name = offeredName(connector, tool)
        expect(name).toMatch(/^[A-Za-z0-9_-]+$/)
        expect(name.length).toBeLessThanOrEqual(longestName)
        expect(offeredName(connector, tool)).toBe(name)
      }),
    )
  })

  it('differs for long names that begin in the same way', () => {
    const long = 'a'.repeat(100)
    expect(offeredName('x', `${long}1`)).not.toBe(offeredName('x', `${long}2`))
  })

  it('has a hash that other versions must keep: clients have it in their settings', () => {
    expect(hashedName('files', 'read')).toBe('files__read_93d67741')
    expect(offeredName('files', 'read file.now')).toBe('files__read_file_now_6370c2b5')
  })
})

describe('a name that a configuration gives', () => {
  const tools = { allow: [], deny: [], hide: [], prefix: 'f', rename: { read_file: 'read' }, describe: {} }

  it('stands for that of the server, behind the prefix that is given, or none', () => {
    expect(longName({ id: 'files', tools }, 'read_file')).toBe('f__read')
    expect(longName({ id: 'files', tools: { ...tools, prefix: undefined } }, 'write')).toBe('files__write')
    expect(longName({ id: 'files', tools: { ...tools, prefix: '' } }, 'read_file')).toBe('read')
    expect(longName({ id: 'files', tools }, 'toString')).toBe('f__toString')
  })

  it('fits, too', () => {
    const long = longName({ id: 'files', tools: { ...tools, prefix: '' } }, 'a b'.repeat(40))
    expect(long).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
  })
})

describe('the id of a connector', () => {
  it('is its name in small letters, with one hyphen for everything else', () => {
    expect(connectorIdOf('My Server')).toBe('my-server')
    expect(connectorIdOf('a__b..c')).toBe('a-b-c')
    expect(connectorIdOf('__')).toBe('')
  })

  it('never holds what separates it from the tool', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        expect(connectorIdOf(name)).toMatch(/^([a-z0-9]+(-[a-z0-9]+)*)?$/)
      }),
    )
  })
})

describe('rules for tools', () => {
  it('know * and nothing else', () => {
    expect(matches('read_*', 'read_file')).toBe(true)
    expect(matches('read_*', 'write')).toBe(false)
    expect(matches('a.b', 'axb')).toBe(false)
  })

  it('deny more strongly than they allow', () => {
    const rules = { allow: ['read_*'], deny: ['*_secret'] }
    expect(isAllowed('read_file', rules)).toBe(true)
    expect(isAllowed('read_secret', rules)).toBe(false)
    expect(isAllowed('write', rules)).toBe(false)
    expect(isAllowed('write', { allow: [], deny: [] })).toBe(true)
  })
})
