import type { Tokens } from '../oauth/tokens.ts'

/** What a refusal asks of the client: another token, or one with more scopes (RFC 6750, RFC 9728). */
export interface Challenge {
  readonly error?: 'invalid_token' | 'insufficient_scope'
  readonly description?: string
  /** What a token needs. */
  readonly scopes?: readonly string[]
}

/** Where RFC 9728 has what clients must know of a resource, for each of its paths. */
export const metadataPath = '/.well-known/oauth-protected-resource'

/** The value of `WWW-Authenticate`. @param host by which the client has come. */
export function challengeText(
  tokens: Tokens | undefined,
  host: string,
  path: string,
  { error, description, scopes = [] }: Challenge,
): string {
  const parts = [
    ['realm', 'port-watchdog'],
    ['error', error],
    ['error_description', description],
    ['scope', tokens === undefined || scopes.length === 0 ? undefined : scopes.join(' ')],
    ['resource_metadata', tokens && `${tokens.baseFor(host)}${metadataPath}${path}`],
  ]
  const given = parts.flatMap(([name, value]) => (value === undefined ? [] : [`${name}="${value}"`]))
  return `Bearer ${given.join(', ')}`
}
