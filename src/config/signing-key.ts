const prefix = 'whsec_'

/** Bytes of a key that standardwebhooks.com allows: fewer can be guessed. */
const [shortestKey, longestKey] = [24, 64]

/**
 * The key that a secret stands for, as the libraries of standardwebhooks.com read it: base64, with or without `whsec_` before it.
 * @returns undefined when it is no base64, or a key of another length.
 */
export function signingKey(secret: string): Buffer | undefined {
  const written = secret.startsWith(prefix) ? secret.slice(prefix.length) : secret
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(written)) return undefined
  const key = Buffer.from(written, 'base64')
  return key.length >= shortestKey && key.length <= longestKey ? key : undefined
}
