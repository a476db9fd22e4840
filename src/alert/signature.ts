import { createHmac } from 'node:crypto'
import { signingKey } from '../config/signing-key.ts'

/**
 * The headers that sign a webhook as standardwebhooks.com says, so that its libraries verify it. A receiver
 * 1. joins `webhook-id`, `webhook-timestamp` (seconds since 1970) and the body, as the bytes that came, with dots,
 * 2. computes HMAC-SHA256 of that with the secret, in base64, and compares it in constant time with what follows `v1,` in
 *    `webhook-signature`,
 * 3. refuses a timestamp more than 5 minutes away, and passes over a `webhook-id` it has seen.
 * @param secret a key in base64, with or without `whsec_`, as `signingKey` takes it.
 * @throws for any other text: nothing may be signed with a key that others can guess.
 */
export function signatureHeaders(
  secret: string,
  id: string,
  body: string,
  wallMs: number,
): Record<'webhook-timestamp' | 'webhook-signature', string> {
  const timestamp = String(Math.floor(wallMs / 1000))
  const key = signingKey(secret)
  if (key === undefined) throw new Error('the signing key is not usable')
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
  return { 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
}
