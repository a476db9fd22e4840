import { type LookupAddress, lookup } from 'node:dns'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import type { LookupFunction } from 'node:net'
import { isIP } from '../../os/ip-address.ts'
import { networks } from '../../os/networks.ts'
import { completed } from './front.ts'

/** ms for a whole document, its bytes, and documents that are fetched at once. */
const answerMs = 5000
const longestDocument = 5 * 1024
const mostAtOnce = 10

/** Where no document of a client on the Internet is: beside private networks, those of RFC 6890 that lead back to them or nowhere. */
const isElsewhere = networks([
  'private',
  ...['0.0.0.0/8', '127.0.0.0/8', '192.0.0.0/24', '198.18.0.0/15', '224.0.0.0/3'],
  ...['::/127', 'ff00::/8', '64:ff9b::/32', '2001::/23', '2002::/16'],
])

/** What is read of a document. Nothing that names a secret, a key, another place to fetch from, or a right of a registered client. */
const taken = [
  'client_id',
  'client_name',
  'client_uri',
  'redirect_uris',
  'response_types',
  'grant_types',
  'scope',
  'application_type',
  'token_endpoint_auth_method',
]

/** A document says who a client claims to be and proves nothing: it gets no token without a person. */
const grants = ['authorization_code', 'refresh_token']

/**
 * Clients whose id is the https URL of a document that says what they are (draft-ietf-oauth-client-id-metadata-document). The server
 * fetches from hosts that its configuration names, and from no others.
 */
export class ClientDocuments {
  readonly #hosts: ReadonlySet<string>
  #underWay = 0

  /** @param hosts HOST or HOST:PORT, as a URL has them. */
  constructor(hosts: readonly string[]) {
    this.#hosts = new Set(hosts)
  }

  get isOn(): boolean {
    return this.#hosts.size > 0
  }

  isAllowed(clientId: string): boolean {
    if (!URL.canParse(clientId)) return false
    const { protocol, host } = new URL(clientId)
    return protocol === 'https:' && this.#hosts.has(host)
  }

  /** As `fetch`, without redirects. @throws Error when it does not come whole and in time, or from a place where it must not be. */
  async fetch(place: string): Promise<Response> {
    if (!this.isAllowed(place)) throw new Error(`the configuration does not name the host of ${place}`)
    if (this.#underWay >= mostAtOnce) throw new Error('too many documents are being fetched')
    this.#underWay++
    try {
      const answer = await answerOf(new URL(place))
      const text = await textOf(answer)
      const { 'cache-control': control, expires } = answer.headers
      const headers = { ...(control && { 'cache-control': control }), ...(expires && { expires }) }
      return new Response(withDefaults(text), { status: answer.statusCode ?? 502, headers })
    } finally {
      this.#underWay--
    }
  }
}

function answerOf(place: URL): Promise<IncomingMessage> {
  const headers = { accept: 'application/json' }
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(answerMs)
    // A connection of its own: none is left behind, and each one's address is looked at.
    const asked = request(place, { agent: false, headers, signal, lookup: lookUpPublic })
    asked.on('response', resolve).on('error', reject).end()
  })
}

/** Addresses of a name, without those that only this machine and its neighbours reach. An address in the configuration is not looked up. */
const lookUpPublic: LookupFunction = (name, options, done) => {
  lookup(name, { ...options, all: true }, (error, addresses: readonly LookupAddress[] = []) => {
    const found = addresses.filter(({ address }) => isIP(address) !== 0 && !isElsewhere(address))
    const [first] = found
    if (error !== null) done(error, '')
    else if (first === undefined) done(new Error(`${name} has no public address`), '')
    else if (options.all === true) done(null, found)
    else done(null, first.address, first.family)
  })
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of answer) {
    length += (part as Buffer).length
    // Leaving the loop ends the connection.
    if (length > longestDocument) throw new Error(`the document has more than ${longestDocument} bytes`)
    parts.push(part as Buffer)
  }
  return Buffer.concat(parts).toString()
}

/** The document as the provider wants it. What is no document stays as it is, and the provider refuses it. */
function withDefaults(text: string): string {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    return text
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return text
  const members: Readonly<Record<string, unknown>> = {
    token_endpoint_auth_method: 'none',
    ...Object.fromEntries(Object.entries(given).filter(([name]) => taken.includes(name))),
  }
  const { grant_types: wanted } = members
  const allowed = Array.isArray(wanted) ? { grant_types: wanted.filter((one) => grants.includes(one)) } : {}
  return JSON.stringify(completed({ ...members, ...allowed }))
}
