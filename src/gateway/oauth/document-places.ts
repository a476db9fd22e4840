/** Where an issuer may have its document: RFC 8414 puts the path of the issuer last, OpenID Connect first. */
export function documentPlaces(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  const wellKnown = `${origin}/.well-known`
  return [
    ...new Set([
      `${origin}${path}/.well-known/openid-configuration`,
      `${wellKnown}/oauth-authorization-server${path}`,
      `${wellKnown}/openid-configuration${path}`,
    ]),
  ]
}
