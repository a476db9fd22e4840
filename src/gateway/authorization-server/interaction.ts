import type { IncomingMessage, ServerResponse } from 'node:http'
import type Provider from 'oidc-provider'
import type { Client } from 'oidc-provider'
import { loginPage, noticePage } from '../../web/pages.ts'
import type { Access } from '../access.ts'
import { textOfBody } from '../face/body.ts'

export interface Reception {
  readonly provider: Provider
  readonly access: Access
  /** The address that the browser asks from. */
  readonly from: string
}

/** Bytes of the form. */
const longestForm = 4096

/** A person enters a key of the gateway, and the client gets the rights of that key. */
export async function interact(
  { provider, access, from }: Reception,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const asked = await provider.interactionDetails(request, response).catch(() => undefined)
  const client = asked && (await provider.Client.find(String(asked.params.client_id)))
  if (asked === undefined || client === undefined)
    return show(
      response,
      400,
      noticePage('No login is under way', 'Begin again in the program that wants to log in.'),
    )
  const { redirect_uri: back, scope = '', resource } = asked.params
  const place = new URL(String(back))
  const facts = {
    host: place.host || place.protocol,
    next: '/',
    tokenFile: undefined,
    path: `/oauth/interaction/${asked.uid}`,
    label: 'Key of the gateway',
    words: {
      heading: `Let ${nameOf(client)} use the MCP gateway?`,
      whereTokenIs: `The program at the address above gets what your key may do${scope === '' ? '' : ` (${String(scope)})`}. \`mcp-proxy key create NAME\` makes a key.`,
      whatLogoutEnds: '',
      howToLogIn: '',
      strangersForm: '',
    },
  }
  const ask = (status: number, problem: string | undefined) =>
    show(response, status, loginPage({ ...facts, problem }), place)
  if (request.method !== 'POST') return ask(200, undefined)
  const form = await textOfBody(request, longestForm)
  const key = typeof form === 'number' ? '' : (new URLSearchParams(form).get('token') ?? '')
  const admission = await access.judgeKey(key.trim(), from)
  if (!admission.ok) return ask(admission.status, admission.message)
  const accountId = admission.principal.id
  // Anybody is let in here, and nobody in particular: there is nothing to give on.
  if (admission.principal.kind !== 'key') return ask(403, 'this gateway takes no keys')
  const grant = new provider.Grant({ accountId, clientId: client.clientId })
  grant.addOIDCScope(String(scope))
  if (typeof resource === 'string') grant.addResourceScope(resource, String(scope))
  const result = { login: { accountId }, consent: { grantId: await grant.save() } }
  await provider.interactionFinished(request, response, result)
}

/** A name is what the client says of itself. Whose document it stands in is known. */
function nameOf({ clientId, clientName }: Client): string {
  const isOfDocument = clientId.startsWith('https://')
  return isOfDocument ? `${clientName ?? 'a program'} (${new URL(clientId).host})` : (clientName ?? clientId)
}

/** @param back where the form leads to in the end: browsers hold the rule for forms against that, too. */
function show(
  response: ServerResponse,
  status: number,
  { html, headers }: ReturnType<typeof noticePage>,
  back?: URL,
): void {
  const policy = headers['content-security-policy'] ?? ''
  const to = back === undefined ? '' : ` ${back.origin === 'null' ? back.protocol : back.origin}`
  const own = {
    ...headers,
    'content-security-policy': policy.replace("form-action 'self'", `form-action 'self'${to}`),
  }
  response.writeHead(status, own).end(html)
}
