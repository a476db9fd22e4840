import { describe, expect, it } from 'vitest'
import { plainLog } from '../../src/log/index.ts'
import { masked, redactPatterns } from '../../src/log/redaction.ts'

describe('plainLog', () => {
  it('adds the fields of its parents, the nearest first, and leaves out what is off', () => {
    const written: unknown[] = []
    const log = plainLog((level, message, fields) => written.push([level, message, fields]))
    const web = log.child({ unit: 'web', pid: 1 }).child({ pid: 2 })
    web.info('one')
    web.warn({ good: true, pid: 3 }, 'two')
    log.fatal('three')
    log.debug('four')
    web.trace({ pid: 4 }, 'five')
    expect(written).toEqual([
      ['info', 'one', { unit: 'web', pid: 2 }],
      ['warn', 'two', { unit: 'web', pid: 3, good: true }],
      ['fatal', 'three', {}],
    ])
  })
})

describe('What looks like a secret', () => {
  it.each([
    ['https://user:pass@example.com/x', 'https://[redacted]@example.com/x'],
    ['https://user:p@ss@example.com', 'https://[redacted]@example.com'],
    ['redis://:pass@h:6379, then http://h/a@b', 'redis://[redacted]@h:6379, then http://h/a@b'],
    ['authorization: bearer 0123456789abcdef.x-y_z', 'authorization: bearer [redacted]'],
    ['Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==', 'Proxy-Authorization: Basic [redacted]'],
    ['GET /?a=1&access_token=abc&b=2#c', 'GET /?a=1&access_token=[redacted]&b=2#c'],
    [
      'MCP_PROXY_AUTH_TOKEN=abc DB_PASSWORD="abc"',
      'MCP_PROXY_AUTH_TOKEN=[redacted] DB_PASSWORD="[redacted]"',
    ],
    ['{"token":"abc","url":"http://h"}', '{"token":"[redacted]","url":"http://h"}'],
    ['db --password hunter2 --api-key abcd1234 -v', 'db --password [redacted] --api-key [redacted] -v'],
  ])('%s', (text, redacted) => {
    expect(redactPatterns(text)).toBe(redacted)
    expect(redactPatterns(redacted)).toBe(redacted)
  })

  it.each([
    'Gate: visitors log in with the token in /home/me/.local/state/port-watchdog/gate_token',
    'the basic authentication of http://localhost:6274/?transport=stdio is off; mail me@example.com',
    '::1 and [fe80::1%eth0]:80 wait; 3 tokens, 2 secrets; --gate token',
    'give --password to log in, or --token --verbose; a password protects it',
  ])('is not in: %s', (text) => {
    expect(redactPatterns(text)).toBe(text)
  })

  it('is the word after an option of a command that is a list', () => {
    const command = ['db', '--password', 'hunter2', '--token', 'abc', '-v', '--user', 'me']
    expect(masked({ command })).toEqual({
      command: ['db', '--password', '[redacted]', '--token', '[redacted]', '-v', '--user', 'me'],
    })
  })

  it('is looked for in a time that grows with the length of the text only', () => {
    for (const part of ['://', 'a:', 'token', 'bearer ', '://a@', 'token=', '@/', '--token ', '-']) {
      const began = process.cpuUsage()
      redactPatterns(part.repeat(20_000))
      expect(process.cpuUsage(began).user / 1000, `ms for ${part}`).toBeLessThan(2000)
    }
  })
})
