import type { OauthConfiguration } from '../config/access-configuration.ts'
import type { HttpOptions } from '../config/http-options.ts'
import { parseHostAndPort } from '../config/values.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { isLoopback } from '../os/interfaces.ts'
import type { Access } from './access.ts'
import type { AuthorizationServer } from './authorization-server/index.ts'
import type { GatewayCore } from './gateway-core.ts'
import { gatewayUrls, Tokens } from './oauth/tokens.ts'

interface Around {
  readonly stateDirectory: string
  readonly core: GatewayCore
  readonly access: Access
  readonly http: HttpOptions
}

/** What checks tokens, and what issues them where the gateway does that itself. @throws Failure when the configuration does not allow it. */
export async function openTokens(
  oauth: OauthConfiguration,
  { stateDirectory, core, access, http }: Around,
): Promise<{
  readonly tokens: Tokens
  readonly issuer: AuthorizationServer | undefined
  /** For a person: where the token is that registers clients. */
  readonly news: string | undefined
}> {
  const counted = (isHit: boolean) => core.figures.lookedUp('token', isHit)
  const { builtIn } = oauth
  if (builtIn === undefined)
    return { tokens: new Tokens(oauth, http, counted), issuer: undefined, news: undefined }
  if (builtIn.registration === 'open' && !isOnLoopback(http))
    throw new Failure(
      'gateway.access.oauth.builtIn.registration: open is for a gateway on loopback alone: everybody who can register gets tokens; write token',
      exitCode.configuration,
    )
  const bases = gatewayUrls(oauth, http)
  const [url] = bases
  const own = core.upstreams.flatMap(({ connector: { scopes, toolScopes } }) => [
    ...scopes,
    ...Object.values(toolScopes).flat(),
  ])
  const { AuthorizationServer } = await import('./authorization-server/index.ts')
  const issuer = await AuthorizationServer.open({
    stateDirectory,
    builtIn,
    url,
    isOwn: (resource) => bases.some((base) => resource === base || resource.startsWith(`${base}/`)),
    access,
    scopes: [...new Set(['mcp:access', ...oauth.scopes, ...own])],
  })
  const file = issuer.registrationFile
  const news = file === undefined ? undefined : `The token that registers clients is in ${file}`
  return { tokens: new Tokens(oauth, http, counted, issuer), issuer, news }
}

function isOnLoopback({ listen }: HttpOptions): boolean {
  const parsed = parseHostAndPort(listen)
  const host = parsed.ok ? parsed.value.host : listen
  return host === 'localhost' || isLoopback(host)
}
