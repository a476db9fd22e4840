/** A part of what a server says with a refusal, `WWW-Authenticate` (RFC 6750, RFC 9728). */
export function challengePart(challenge: string, name: string): string | undefined {
  const [, quoted, plain] =
    new RegExp(`[\\s,]${name}=(?:"([^"]*)"|([^\\s,"]+))`, 'i').exec(` ${challenge}`) ?? []
  return quoted ?? plain
}

/** The scopes that it names. */
export function scopesIn(challenge: string): readonly string[] {
  return (challengePart(challenge, 'scope') ?? '').split(' ').filter((one) => one !== '')
}
