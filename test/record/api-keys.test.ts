import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { ApiKeys } from '../../src/record/api-keys.ts'
import { AuditLog } from '../../src/record/audit.ts'
import { temporaryDirectory } from '../support/children.ts'
import { until } from '../support/tools.ts'

const given = { name: 'agent', scopes: ['read'], units: null, expiresAt: null } as const

describe('API keys', () => {
  it('keep the hash of a key, never the key, in a file of the owner alone', (t) => {
    const directory = temporaryDirectory(t)
    const { secret, key } = new ApiKeys(directory).create(given)
    const file = path.join(directory, 'api_keys.json')
    expect(secret).toMatch(new RegExp(`^pwk_${key.id}_[\\w-]{43}$`))
    expect(readFileSync(file, 'utf8')).not.toContain(secret.slice(15))
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(new ApiKeys(directory).judge(secret)).toMatchObject({ kind: 'valid', key: { name: 'agent' } })
  })

  it('know neither a wrong secret, nor a part of one, nor a revoked key', (t) => {
    const directory = temporaryDirectory(t)
    const keys = new ApiKeys(directory)
    const { secret, key } = keys.create(given)
    const other = `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`
    for (const wrong of ['', 'x', other, secret.slice(0, 14), `${secret} `, key.hash])
      expect(keys.judge(wrong)).toEqual({ kind: 'unknown' })
    keys.revoke(key.id)
    expect(keys.judge(secret)).toEqual({ kind: 'unknown' })
  })

  it('expire', (t) => {
    const keys = new ApiKeys(temporaryDirectory(t))
    const { secret, key } = keys.create({ ...given, expiresAt: new Date(Date.now() - 1).toISOString() })
    expect(keys.judge(secret)).toMatchObject({ kind: 'expired' })
    expect(keys.valid(key.id)).toBeUndefined()
  })

  it('admit nobody by a damaged file, and do not write over it', async (t) => {
    const directory = temporaryDirectory(t)
    const keys = new ApiKeys(directory)
    const { secret } = keys.create(given)
    const file = path.join(directory, 'api_keys.json')
    const damaged = readFileSync(file, 'utf8').replace('"read"', '"everything"')
    writeFileSync(file, damaged)
    utimesSync(file, 1, 1)
    await until('it is read', async () => keys.judge(secret).kind === 'unknown' || undefined)
    expect(() => keys.create(given)).toThrow('keys[0] is damaged; mend it, or move it away')
    expect(readFileSync(file, 'utf8')).toBe(damaged)
  })

  it('remember when they were last used, written once for many uses', (t) => {
    const directory = temporaryDirectory(t)
    const keys = new ApiKeys(directory)
    const { key } = keys.create(given)
    for (let times = 0; times < 3; times++) keys.used(key)
    expect(new ApiKeys(directory).list()[0]?.lastUsedAt).toBeNull()
    expect(keys.list()[0]?.lastUsedAt).not.toBeNull()
    keys.save()
    expect(new ApiKeys(directory).list()[0]?.lastUsedAt).not.toBeNull()
  })

  it('remember it also when another process changes the file before it is written', (t) => {
    const directory = temporaryDirectory(t)
    const keys = new ApiKeys(directory)
    const { key } = keys.create(given)
    keys.used(key)
    new ApiKeys(directory).create({ ...given, name: 'other' })
    expect(keys.list()).toHaveLength(2)
    keys.save()
    const times = new ApiKeys(directory).list().map(({ lastUsedAt }) => lastUsedAt)
    expect(times).toEqual([expect.any(String), null])
  })

  it('do not remember it where that is not wanted', (t) => {
    const directory = temporaryDirectory(t)
    const keys = new ApiKeys(directory, 'keys.json', 0)
    keys.used(keys.create(given).key)
    keys.save()
    expect(keys.list()[0]?.lastUsedAt).toBeNull()
  })
})

describe('The audit', () => {
  const entry = {
    actor: { user: 'agent', uid: null, via: 'http' },
    key: 'abcdefghij',
    from: '192.0.2.7',
    order: 'stop',
    units: ['web'],
    outcome: 'done',
    code: null,
    message: null,
  } as const

  it('numbers its lines over restarts and rotations, so that a missing one is seen', (t) => {
    const directory = temporaryDirectory(t)
    const limits = { maxBytes: 1000, keep: 2, compress: false }
    for (let round = 0; round < 4; round++) {
      const audit = new AuditLog(directory, limits)
      for (let line = 0; line < 5; line++) audit.write(entry)
    }
    const lines = ['.2', '.1', ''].flatMap((part) =>
      readFileSync(path.join(directory, `audit.jsonl${part}`), 'utf8')
        .trim()
        .split('\n'),
    )
    const numbers = lines.map((line) => (JSON.parse(line) as { seq: number }).seq)
    expect(numbers.at(-1)).toBe(20)
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index))
    expect(numbers[0]).toBeGreaterThan(1)
    expect(statSync(path.join(directory, 'audit.jsonl')).mode & 0o777).toBe(0o600)
  })

  it('counts in the file what could not be written', (t) => {
    const directory = temporaryDirectory(t)
    const audit = new AuditLog(directory, { maxBytes: 0, keep: 0, compress: false, remembered: 2 })
    audit.write(entry)
    const away = `${directory}-away`
    renameSync(directory, away)
    // The folder is gone, and nothing may be put in its place.
    writeFileSync(directory, '')
    audit.reopen()
    for (let line = 0; line < 5; line++) audit.write(entry)
    rmSync(directory)
    renameSync(away, directory)
    audit.write(entry)
    const lines = readFileSync(path.join(directory, 'audit.jsonl'), 'utf8').trim().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { seq: 1 },
      { event: 'lost', count: 3 },
      { seq: 5 },
      { seq: 6 },
      { seq: 7 },
    ])
  })
})
