/** A person logs in: his browser goes to the issuer and comes back to a listener on loopback, or he brings the address that it came back to. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as oauth from 'oauth4webapi'
import { errorText, exitCode, Failure } from '../../os/failure.ts'
import { noticePage } from '../../web/pages.ts'
import { discover } from './discovery.ts'
import { type LoginOptions, wantedScopes, withoutConfiguredSecret } from './index.ts'
import { codeTokens, configuredClient, refusalIn, register, revoke } from './issuer-client.ts'
import { KeptLogin } from './kept-login.ts'

const callbackPath = '/callback'

export interface PersonLoginOptions extends LoginOptions {
  /** Port to come back to; 0 = that of the last login, or any. */
  readonly port: number
  /** Told where the person must go, and where his browser comes back to. */
  readonly open: (page: string, redirectUri: string) => void
  /** Resolves with the address that the browser came back to, where it came back on another machine. */
  readonly brought: Promise<string>
}

/** @returns the issuer. @throws Failure when it does not come to a login. */
export async function logIn(options: PersonLoginOptions): Promise<string> {
  const { server, auth, stateDirectory, open, brought } = options
  const kept = new KeptLogin(stateDirectory, server)
  const found = await failing(discover(server, auth.issuer), exitCode.unavailable)
  const { issuer, resource } = found
  if (issuer.authorization_endpoint === undefined)
    throw refused(
      `the issuer ${issuer.issuer} has no page for a login; write auth: { grant: client_credentials, … }`,
    )
  if (issuer.code_challenge_methods_supported?.includes('S256') !== true)
    throw refused(`the issuer ${issuer.issuer} does not protect logins by PKCE (S256)`)
  const before = kept.read()
  const wasThere = before?.issuer.issuer === issuer.issuer ? before : undefined
  const way = await listen(options.port || portOf(wasThere?.redirectUri))
  try {
    const { redirectUri } = way
    const isRegistered = wasThere?.redirectUri === redirectUri
    const client =
      configuredClient(auth, issuer) ??
      (isRegistered ? wasThere?.client : undefined) ??
      (await failing(register(issuer, redirectUri), exitCode.unavailable))
    const scopes = [...new Set([...found.scopes, ...(wasThere?.scopes ?? [])])]
    const verifier = oauth.generateRandomCodeVerifier()
    const state = oauth.generateRandomState()
    const page = new URL(issuer.authorization_endpoint)
    const wanted = wantedScopes(auth, scopes)
    const asked = {
      response_type: 'code',
      client_id: client.client_id,
      redirect_uri: redirectUri,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      resource,
      ...(wanted.length === 0 ? {} : { scope: wanted.join(' ') }),
    }
    for (const [name, value] of Object.entries(asked)) page.searchParams.set(name, value)
    open(page.href, redirectUri)
    const isMeant = (came: URL) => came.searchParams.get('state') === state
    const answer = async (came: URL) => {
      const parameters = oauth.validateAuthResponse(issuer, client, came, state)
      return await codeTokens({ issuer, client, resource }, parameters, redirectUri, verifier)
    }
    const tokens = await way.answered(answer, isMeant, brought)
    await kept.alone(async () =>
      kept.write({
        version: 1,
        server,
        resource,
        issuer,
        discoveredAt: Date.now(),
        client: withoutConfiguredSecret(client, auth),
        redirectUri,
        tokens,
        scopes,
      }),
    )
    return issuer.issuer
  } finally {
    way.close()
  }
}

/** Ends the login at a server: at its issuer, where that can be, and here. @returns false when there was none. */
export async function logOut({ stateDirectory, server }: LoginOptions): Promise<boolean> {
  const kept = new KeptLogin(stateDirectory, server)
  return await kept.alone(async () => {
    const record = kept.read()
    kept.remove()
    if (record?.tokens === undefined) return false
    const { issuer, resource, client, tokens } = record
    if (client !== undefined) await revoke({ issuer, resource, client }, tokens)
    return true
  })
}

type Exchange = (came: URL) => Promise<Awaited<ReturnType<typeof codeTokens>>>

/** Where the browser comes back to. */
async function listen(port: number) {
  const server = createServer()
  const at = async (wished: number) => {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(wished, '127.0.0.1', () => resolve(void server.removeListener('error', reject)))
    })
  }
  try {
    await at(port)
  } catch (error) {
    if (port === 0) throw error
    await at(0)
  }
  const redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}${callbackPath}`
  return {
    redirectUri,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
    /** Settles with the first answer, wherever it comes: the code in it is good once. */
    answered: (exchange: Exchange, isMeant: (came: URL) => boolean, brought: Promise<string>) =>
      new Promise<Awaited<ReturnType<Exchange>>>((resolve, reject) => {
        const take = async (came: URL) => {
          try {
            resolve(await exchange(came))
            return undefined
          } catch (error) {
            const failure = refused(reasonOf(error))
            reject(failure)
            return failure.message
          }
        }
        server.on('request', (request, response) => {
          const { url = '' } = request
          // `//[` is a target of HTTP, and no address.
          const came = URL.canParse(url, redirectUri) ? new URL(url, redirectUri) : undefined
          if (came?.pathname !== callbackPath || request.method !== 'GET')
            return void show(response, 404, 'Not found')
          // Anybody on this machine can ask here.
          if (!isMeant(came)) return void show(response, 400, 'No login', 'This belongs to another login.')
          void take(came).then((problem) =>
            problem === undefined
              ? show(response, 200, 'Logged in', 'You can close this page.')
              : show(response, 400, 'No login', problem),
          )
        })
        void brought.then(async (text) => {
          const came = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined
          const isAnswer = came !== undefined && isMeant(came)
          if (isAnswer) await take(came)
          else reject(refused('what was given is no address that this login leads to'))
        })
      }),
  }
}

function show(response: ServerResponse, status: number, title: string, text = ''): void {
  const { html, headers } = noticePage(title, text)
  response.writeHead(status, { ...headers, connection: 'close' }).end(html)
}

function reasonOf(error: unknown): string {
  const refusal = refusalIn(error)
  return refusal === undefined ? errorText(error) : `the issuer refuses it (${refusal})`
}

function portOf(redirectUri: string | undefined): number {
  return redirectUri === undefined ? 0 : Number(new URL(redirectUri).port)
}

function refused(why: string): Failure {
  return new Failure(`there is no login: ${why}`, exitCode.orderFailed)
}

async function failing<T>(promise: Promise<T>, code: number): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw new Failure(`there is no login: ${errorText(error)}`, code)
  }
}
