import { IncomingMessage, type ServerResponse } from 'node:http'
import type Provider from 'oidc-provider'
import { textOfBody } from '../face/body.ts'
import type { KeptRecords } from './kept-records.ts'

export interface Behind {
  readonly provider: Provider
  readonly url: string
  readonly records: KeptRecords
}

type Members = Readonly<Record<string, unknown>>

/** Bytes of a body. */
const longestBody = 64 * 1024

/**
 * Hands a request on in the form that the standards want. Clients send JSON to the token endpoint where these have a form, and leave out of a
 * registration what the defaults of RFC 7591 have wrong for them.
 */
export async function forward(
  behind: Behind,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { url, records } = behind
  const path = request.url?.split('?')[0] ?? ''
  const isRegistration = path === '/oauth/register' && request.method === 'POST'
  if (isRegistration && records.isFull)
    return refused(response, 503, 'temporarily_unavailable', 'too many clients')
  const body =
    request.method === 'POST' || request.method === 'PUT' ? await textOfBody(request, longestBody) : ''
  if (typeof body === 'number')
    return refused(response, body, 'invalid_request', 'the body is too long, or did not come')
  const isJson = /^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')
  const members = isJson ? membersOf(body) : undefined
  if (isJson && members === undefined)
    return refused(response, 400, 'invalid_request', 'the body is no JSON object')
  const { protocol, host } = new URL(url)
  const headers = {
    ...request.headers,
    host,
    'x-forwarded-proto': protocol.slice(0, -1),
    'x-forwarded-host': host,
  }
  if (members === undefined) return pass(behind.provider, request, response, headers, body)
  if (isRegistration)
    return pass(behind.provider, request, response, headers, JSON.stringify(completed(members)))
  const form = formOf(members)
  if (form === undefined)
    return refused(response, 400, 'invalid_request', 'every member of the body must be a text')
  const asForm = { ...headers, 'content-type': 'application/x-www-form-urlencoded' }
  return pass(behind.provider, request, response, asForm, form)
}

/** A body that was read can be read again: it is in a request of its own, on the same connection. */
function pass(
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
  headers: IncomingMessage['headers'],
  body: string,
): void {
  const again = new IncomingMessage(request.socket)
  again.method = request.method ?? 'GET'
  again.url = request.url ?? '/'
  again.httpVersion = request.httpVersion
  // One that is not complete would end the connection with itself.
  again.complete = true
  const length: Record<string, string> =
    body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const { 'transfer-encoding': _, 'content-length': __, ...rest } = headers
  again.headers = { ...rest, ...length }
  again.push(body === '' ? null : body)
  if (body !== '') again.push(null)
  void provider.callback()(again, response)
}

/** A machine has no page to come back to, and an app on this machine is called native. */
export function completed(members: Members): Members {
  const { grant_types: grants, redirect_uris: pages } = members
  if (Array.isArray(grants) && grants.length === 1 && grants[0] === 'client_credentials') {
    const machine = {
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_post',
    }
    return { ...machine, ...members }
  }
  const isOfMachine =
    Array.isArray(pages) &&
    pages.every((page) => /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)[:/]/.test(String(page)))
  return isOfMachine ? { application_type: 'native', ...members } : members
}

function membersOf(text: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Members)
      : undefined
  } catch {
    return undefined
  }
}

function formOf(members: Members): string | undefined {
  const entries = Object.entries(members)
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return undefined
  return new URLSearchParams(entries).toString()
}

/** Refusals of OAuth have a form of their own. */
function refused(response: ServerResponse, status: number, error: string, description: string): void {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' }
  response.writeHead(status, headers).end(JSON.stringify({ error, error_description: description }))
}
