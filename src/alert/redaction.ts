/** Parts of a URL shorter than this are words of its API (`api`, `webhooks`), not secrets. */
const shortestSecretPart = 8

const mark = '[redacted]'

/**
 * Makes a function that takes every secret out of a text, as it is and as a server or the system may echo it: a URL's path, its
 * longer segments, its query, its user and password. The host stays, because an error without it helps nobody.
 */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const parts = [...new Set(secrets.flatMap(secretParts))].sort((a, b) => b.length - a.length)
  return (text) => parts.reduce((redacted, part) => redacted.replaceAll(part, mark), text)
}

function secretParts(secret: string): string[] {
  if (!URL.canParse(secret)) return secret === '' ? [] : [secret]
  const { href, pathname, search, searchParams, username, password } = new URL(secret)
  const pieces = [...pathname.split('/'), ...searchParams.values(), username, password]
  const long = [...pieces, ...pieces.map(decoded)].filter((piece) => piece.length >= shortestSecretPart)
  const wholePath = pathname.length >= shortestSecretPart ? [pathname + search, pathname] : []
  return [secret, href, ...wholePath, ...long]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
