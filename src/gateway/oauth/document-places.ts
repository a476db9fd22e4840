/** Where an issuer may have its document, in the order that MCP gives: RFC 8414 puts the path of the issuer last, OpenID Connect first. */
export function documentPlaces(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  const wellKnown = `${origin}/.well-known`
  return [
    ...new Set([
      `${wellKnown}/oauth-authorization-server${path}`,
      `${wellKnown}/openid-configuration${path}`,
      `${origin}${path}/.well-known/openid-configuration`,
    ]),
  ]
}
