// How the gateway finds out what a server speaks, where the server refuses the first question.
import { expect, it } from 'vitest'
import { RpcError, rpcCode } from '../../src/gateway/protocol/errors.ts'
import { readMessage } from '../../src/gateway/protocol/message.ts'
import { shakeHands } from '../../src/gateway/upstream/handshake.ts'

const answers: Readonly<Record<string, object>> = {
  'server/discover': { supportedVersions: ['2026-07-28'], capabilities: {} },
  initialize: { protocolVersion: '2025-06-18', capabilities: {} },
}

const answerTo = (method: string) =>
  readMessage(JSON.stringify({ jsonrpc: '2.0', id: 1, result: answers[method] }))

/** A server that answers the first `server/discover` with an error. @returns the methods that it was asked by, and what came of it. */
async function openedAt(refusal: RpcError) {
  const asked: string[] = []
  const opened = shakeHands((method) => {
    asked.push(method)
    if (asked.length === 1) return Promise.reject(refusal)
    return Promise.resolve(answerTo(method))
  }, undefined)
  const outcome = await opened.then(
    ({ revision }) => revision,
    (error: unknown) => (error as Error).message,
  )
  return { asked, outcome }
}

const unsupported = (data: unknown) => new RpcError(rpcCode.unsupportedVersion, 'Unsupported', data)

it.each([
  ['another error', new RpcError(rpcCode.methodNotFound, 'Method not found'), 'initialize', '2025-06-18'],
  ['no other revision', unsupported(undefined), 'initialize', '2025-06-18'],
  ['an older revision', unsupported({ supported: ['2025-06-18'] }), 'initialize', '2025-06-18'],
  ['this very revision', unsupported({ supported: ['2026-07-28'] }), 'server/discover', '2026-07-28'],
])('a refusal with %s', async (_, refusal, next, revision) => {
  expect(await openedAt(refusal)).toEqual({ asked: ['server/discover', next], outcome: revision })
})

it.each([
  ['headers that differ', rpcCode.headerMismatch],
  ['a capability that is missing', rpcCode.missingCapability],
])('a refusal of the newer generation, of %s, is the end, in the words of the server', async (_, code) => {
  const refusal = new RpcError(code, 'Words of the server')
  expect(await openedAt(refusal)).toEqual({ asked: ['server/discover'], outcome: 'Words of the server' })
})

it('a refusal with revisions that nobody here knows is the end', async () => {
  const { asked, outcome } = await openedAt(unsupported({ supported: ['2027-01-01', '2028-01-01'] }))
  expect(asked).toEqual(['server/discover'])
  expect(outcome).toBe('it speaks only 2027-01-01, 2028-01-01')
})

it.each([
  ['answers both, in order', ['server/discover', 'initialize'], '2026-07-28'],
  ['does not know the first question', ['initialize'], '2025-06-18'],
  ['refuses the second', ['refusal of initialize', 'server/discover'], '2026-07-28'],
])('a server that begins slowly and %s', async (_, said, revision) => {
  const waiting = new Map<
    string,
    { resolve: (answer: ReturnType<typeof answerTo>) => void; reject: (error: Error) => void }
  >()
  const opened = shakeHands(
    (method) =>
      new Promise((resolve, reject) => {
        waiting.set(method, { resolve, reject })
        if (method !== 'initialize') return
        for (const one of said) {
          if (one.startsWith('refusal')) reject(new RpcError(rpcCode.methodNotFound, 'Method not found'))
          else setImmediate(() => waiting.get(one)?.resolve(answerTo(one)))
        }
      }),
    undefined,
    undefined,
    10,
  )
  expect((await opened).revision).toBe(revision)
})
