// Whatever a request shows, it gets a refusal, unless it shows exactly one secret that is good: there is no principal by default.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { accessDefaults } from '../../src/config/access-configuration.ts'
import { httpDefaults } from '../../src/config/http-options.ts'
import { Access } from '../../src/gateway/access.ts'
import { Tokens } from '../../src/gateway/oauth/tokens.ts'
import { FileStore } from '../../src/gateway/store/file-store.ts'
import { KnownKeys } from '../../src/gateway/store/known-keys.ts'
import { LastUses } from '../../src/gateway/store/last-uses.ts'

const key = `pwg_${'k'.repeat(43)}`
const from = '192.0.2.1'

function access(legacyKeys: boolean, takesTokens: boolean): Access {
  const store = new FileStore(`${tmpdir()}/there-is-no-such-folder`)
  const keys = new KnownKeys({ store, outageMs: 0, counted: () => {}, told: () => {} })
  const first = { key, file: '', isNew: false }
  const options = { ...accessDefaults, legacyKeys }
  const made = new Access({ keys, uses: new LastUses(store, 0, () => {}), first, allowNone: false, options })
  const oauth = { issuers: ['https://login.example.com'], audiences: [], resource: undefined, scopes: [] }
  if (takesTokens) made.tokens = new Tokens(oauth, { ...httpDefaults, listen: '127.0.0.1:1' }, () => {})
  return made
}

const judge = (by: Access, headers: IncomingHttpHeaders, url = '/mcp') =>
  by.judge({ headers, url } as IncomingMessage, from, '/mcp')

const base64url = fc.string({ unit: fc.constantFrom(...'abcXYZ019_-'), maxLength: 40 })
const claims = fc.record({
  iss: fc.constantFrom('https://login.example.com', 'x'),
  alg: fc.constantFrom('none', 'HS256', 1),
})
const encoded = claims.map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'))
const secret = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.tuple(base64url, base64url, base64url).map((parts) => parts.join('.')),
  fc.tuple(encoded, encoded, fc.constantFrom('', 'x')).map((parts) => parts.join('.')),
  fc.nat(key.length - 1).map((length) => key.slice(0, length)),
  fc.constantFrom(
    `${key}x`,
    `${key} ${key}`,
    `${key},${key}`,
    `${key}\u0000`,
    key.toUpperCase(),
    'undefined',
    'null',
    '__proto__',
  ),
)
const scheme = fc.constantFrom(
  'Bearer ',
  'bearer  ',
  'Basic ',
  'Bearer',
  '',
  'Bearer\t',
  'Digest ',
  'Bearer Bearer ',
  '\u0000Bearer ',
)
const authorization = fc.tuple(scheme, secret).map((parts) => parts.join(''))
const shown = fc.record(
  { authorization, 'x-api-key': secret, 'api-key': secret },
  { requiredKeys: [] },
) as fc.Arbitrary<IncomingHttpHeaders>

it('refuses whatever shows no good secret, by any road and in any form', async () => {
  const query = secret.map((text) => `/mcp?api-key=${encodeURIComponent(text)}`)
  const doors = [access(false, false), access(true, false), access(false, true), access(true, true)]
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...doors), shown, fc.option(query), async (by, headers, url) => {
      const admission = await judge(by, headers, url ?? undefined)
      expect(admission).toMatchObject({ ok: false })
      expect(admission).not.toHaveProperty('principal')
    }),
    { numRuns: 3000 },
  )
})

it('admits who shows the key by one road, and nobody who shows something else beside it', async () => {
  const by = access(false, true)
  const roads: IncomingHttpHeaders[] = [{ 'x-api-key': key }, { authorization: `Bearer ${key}` }]
  for (const headers of [...roads, { ...roads[0], ...roads[1] }])
    expect(await judge(by, headers)).toMatchObject({ ok: true, principal: { id: 'first-key' } })
  const isOther = (text: string) => text.trim() !== key
  await fc.assert(
    fc.asyncProperty(secret.filter(isOther), authorization, async (other, malformed) => {
      expect(await judge(by, { 'x-api-key': key, authorization: malformed })).toMatchObject({ ok: false })
      expect(await judge(by, { 'x-api-key': other, authorization: `Bearer ${key}` })).toMatchObject({
        ok: false,
      })
    }),
    { numRuns: 1000 },
  )
})
