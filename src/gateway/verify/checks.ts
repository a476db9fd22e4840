import { isLoopbackHostname } from '../../os/interfaces.ts'
import { version } from '../../os/version.ts'
import { metaKey, modernRevision, newestLegacyRevision } from '../protocol/revisions.ts'
import type { Door, DoorAnswer } from './door.ts'

/**
 * - `passed`, `failed`.
 * - `noted`: the server does not have it, and need not.
 * - `skipped`: it makes no sense here, or what it needs has failed.
 */
export type Outcome = 'passed' | 'failed' | 'noted' | 'skipped'

/** What came of one check. */
export interface Verified {
  /** Stable, for programs. */
  readonly check: string
  readonly outcome: Outcome
  /** In words. */
  readonly detail: string
  readonly ms: number
}

export interface Verification {
  readonly url: URL
  readonly key: string | undefined
  /** A tool to call. */
  readonly call: { readonly name: string; readonly arguments: object } | undefined
}

/** What is known so far. */
export interface Asked {
  readonly door: Door
  readonly call: Verification['call']
  /** Headers of the session of the older generation. */
  session: Readonly<Record<string, string>> | undefined
  /** Names in the older generation. */
  tools: readonly string[] | undefined
  capabilities: Readonly<Record<string, unknown>>
}

type Result = Pick<Verified, 'outcome' | 'detail'>

interface Check {
  readonly name: string
  readonly run: (asked: Asked) => Promise<Result>
}

interface Answer {
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: { readonly code: number; readonly message: string }
}

const clientInfo = { name: 'mcp-proxy verify', version }

/** What model providers take as the name of a tool. */
const nameForm = /^[a-zA-Z0-9_-]{1,64}$/

/** Nobody is called so (RFC 2606). */
const stranger = 'stranger.example'

const passed = (detail: string): Result => ({ outcome: 'passed', detail })
const failed = (detail: string): Result => ({ outcome: 'failed', detail })
const noted = (detail: string): Result => ({ outcome: 'noted', detail })
const skipped = (detail: string): Result => ({ outcome: 'skipped', detail })

const noSession = skipped('there is no session')
const olderAlone = noted('it speaks the older generation alone')

/** In the order in which they are made: later ones use what earlier ones have learnt. */
export const checks: readonly Check[] = [
  { name: 'no-key', run: withoutKey },
  { name: 'foreign-origin', run: foreignOrigin },
  { name: 'foreign-host', run: foreignHost },
  { name: 'initialize', run: initialize },
  { name: 'ping', run: ping },
  { name: 'tools', run: tools },
  { name: 'prompts', run: (asked) => list(asked, 'prompts') },
  { name: 'resources', run: (asked) => list(asked, 'resources') },
  { name: 'call', run: call },
  { name: 'stream', run: stream },
  { name: 'session-end', run: sessionEnd },
  { name: 'discover', run: discover },
  { name: 'modern-tools', run: modernTools },
]

async function withoutKey({ door }: Asked): Promise<Result> {
  const { status } = await door.ask({ message: opening, isKeyed: false })
  if (status === 401 || status === 403) return passed(`refused with ${status}`)
  return status === 200 ? noted('everybody is let in') : failed(`HTTP ${status}`)
}

async function foreignOrigin({ door }: Asked): Promise<Result> {
  const { status } = await door.ask({ message: opening, headers: { origin: `https://${stranger}` } })
  if (status === 403) return passed('refused with 403')
  return failed(`HTTP ${status}: a web page of another site can use it`)
}

async function foreignHost({ door }: Asked): Promise<Result> {
  if (!isNear(door.url)) return skipped('it is not on this machine')
  const { status } = await door.ask({ message: opening, headers: { host: stranger } })
  if (status === 403 || status === 421) return passed(`refused with ${status}`)
  return failed(`HTTP ${status}: a web page that changes its address (DNS rebinding) can use it`)
}

const opening = {
  id: 0,
  method: 'initialize',
  params: { protocolVersion: newestLegacyRevision, capabilities: {}, clientInfo },
}

async function initialize(asked: Asked): Promise<Result> {
  const answer = await asked.door.ask({ message: opening })
  const { protocolVersion, serverInfo, capabilities } = resultOf(answer)
  const id = answer.headers['mcp-session-id']
  const session = {
    'mcp-protocol-version': String(protocolVersion),
    ...(typeof id === 'string' ? { 'mcp-session-id': id } : {}),
  }
  asked.session = session
  asked.capabilities = (capabilities ?? {}) as Asked['capabilities']
  const { status } = await asked.door.ask({
    headers: session,
    message: { method: 'notifications/initialized' },
  })
  if (status >= 300) return failed(`notifications/initialized: HTTP ${status}`)
  const { name, version: of } = (serverInfo ?? {}) as { name?: string; version?: string }
  return passed(`${protocolVersion}, ${name ?? 'no name'} ${of ?? ''}`.trim())
}

async function ping(asked: Asked): Promise<Result> {
  if (asked.session === undefined) return noSession
  resultOf(await asked.door.ask({ headers: asked.session, message: { id: 1, method: 'ping' } }))
  return passed('answered')
}

async function tools(asked: Asked): Promise<Result> {
  if (asked.session === undefined) return noSession
  const { door, session: headers } = asked
  const result = resultOf(await door.ask({ headers, message: { id: 2, method: 'tools/list' } }))
  const names = namesIn(result)
  asked.tools = names
  const odd = names.find((name) => !nameForm.test(name))
  if (odd !== undefined) return failed(`model providers refuse the name ${odd}`)
  if (new Set(names).size < names.length) return failed('a name is there twice')
  const missing = (result._meta as Record<string, unknown> | undefined)?.[metaKey.unavailable]
  return missing === undefined
    ? passed(counted(names.length, 'tool'))
    : failed(`${counted(names.length, 'tool')}; some are missing: ${JSON.stringify(missing)}`)
}

async function list(asked: Asked, kind: 'prompts' | 'resources'): Promise<Result> {
  const { door, session: headers, capabilities } = asked
  if (headers === undefined) return noSession
  if (capabilities[kind] === undefined) return noted('it has none')
  const result = resultOf(await door.ask({ headers, message: { id: 3, method: `${kind}/list` } }))
  return passed(counted((result[kind] as readonly unknown[] | undefined)?.length ?? 0, kind.slice(0, -1)))
}

async function call({ door, session: headers, call: params }: Asked): Promise<Result> {
  if (params === undefined) return skipped('name a harmless tool with --call')
  if (headers === undefined) return noSession
  const result = resultOf(await door.ask({ headers, message: { id: 4, method: 'tools/call', params } }))
  const [first] = (result.content ?? []) as readonly { readonly text?: string }[]
  const said = (first?.text ?? '').slice(0, 80)
  return result.isError === true ? failed(`${params.name}: ${said}`) : passed(`${params.name}: ${said}`)
}

async function stream({ door, session: headers }: Asked): Promise<Result> {
  if (headers?.['mcp-session-id'] === undefined) return noSession
  const { status, headers: answered } = await door.ask({ method: 'GET', headers })
  if (status === 405) return noted('it has none')
  const type = answered['content-type'] ?? 'nothing'
  return status === 200 && type.startsWith('text/event-stream')
    ? passed('opened')
    : failed(`HTTP ${status} with ${type}`)
}

async function sessionEnd({ door, session: headers }: Asked): Promise<Result> {
  if (headers?.['mcp-session-id'] === undefined) return noSession
  const { status } = await door.ask({ method: 'DELETE', headers })
  if (status === 405) return noted('a client cannot end it')
  const after = await door.ask({ headers, message: { id: 5, method: 'ping' } })
  return status < 300 && after.status === 404
    ? passed('it is unknown afterwards')
    : failed(`HTTP ${status}, afterwards ${after.status}`)
}

const envelope = {
  [metaKey.protocolVersion]: modernRevision,
  [metaKey.clientInfo]: clientInfo,
  [metaKey.clientCapabilities]: {},
}

function askModern(door: Door, method: string): Promise<DoorAnswer> {
  const headers = { 'mcp-protocol-version': modernRevision, 'mcp-method': method }
  return door.ask({ headers, message: { id: 6, method, params: { _meta: envelope } } })
}

async function discover({ door }: Asked): Promise<Result> {
  const answer = await askModern(door, 'server/discover')
  const result = modernResultOf(answer)
  if (result === undefined) return olderAlone
  const versions = (result.supportedVersions ?? []) as readonly string[]
  return versions.includes(modernRevision)
    ? passed(versions.join(', '))
    : failed(`it names ${versions.join(', ')}`)
}

async function modernTools({ door, tools: before }: Asked): Promise<Result> {
  const result = modernResultOf(await askModern(door, 'tools/list'))
  if (result === undefined) return olderAlone
  const names = namesIn(result)
  const isSame = before === undefined || JSON.stringify(names) === JSON.stringify(before)
  return isSame
    ? passed(counted(names.length, 'tool'))
    : failed(`${counted(names.length, 'tool')}, others than in ${newestLegacyRevision}`)
}

/** Undefined = the server does not know the newer generation. @throws Error when it lets nobody in. */
function modernResultOf(answer: DoorAnswer): Readonly<Record<string, unknown>> | undefined {
  return answer.status === 401 || answer.status === 403 ? resultOf(answer) : answerIn(answer).result
}

function isNear({ hostname }: URL): boolean {
  return isLoopbackHostname(hostname)
}

function namesIn({ tools: listed = [] }: Readonly<Record<string, unknown>>): readonly string[] {
  return (listed as readonly { readonly name: string }[]).map(({ name }) => name)
}

/** @throws Error with the words of the server. */
function resultOf(answer: DoorAnswer): Readonly<Record<string, unknown>> {
  const { result, error } = answerIn(answer)
  if (result !== undefined) return result
  throw new Error(error === undefined ? `HTTP ${answer.status}` : `HTTP ${answer.status}: ${error.message}`)
}

function answerIn({ body }: DoorAnswer): Answer {
  try {
    return JSON.parse(body) as Answer
  } catch {
    return {}
  }
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
