import type { InspectorFacts } from '../../record/shapes/forwarder-health.ts'
import type { Answer, Ask, Asker, NoAnswer } from './ask.ts'

/** How visitors come. */
export interface Door {
  /** Under which addresses other machines open the page: `http://192.0.2.2:6274`. Empty = they cannot. */
  readonly origins: readonly string[]
  /** A login stands in front, which translates origins: none is asked about. */
  readonly isGated: boolean
}

/** More addresses than anybody opens the page at. */
const mostOrigins = 8

/**
 * Asks with GET requests that change nothing and start nothing: the page; the settings of the Inspector's interface, without its token, as a page of
 * each published address would ask (it answers 403 to an origin it does not allow, 401 to one that lacks the token only); and of 2.x its
 * version, with the token that it gives to everybody who loads the page.
 * What speaks another protocol is asked once.
 * @returns null = what answers is no Inspector; `no-answer` = it took no connection.
 */
export async function recognise(asker: Asker, door: Door): Promise<InspectorFacts | null | 'no-answer'> {
  const plain = await asker.plain('/', html)
  const isHttps = plain === 'closed'
  const page = isHttps ? await asker.secure('/', html) : plain
  if (page === 'unreachable') return 'no-answer'
  if (typeof page === 'string') return null
  const ask = isHttps ? asker.secure : asker.plain
  if (isInspectorPage(page)) return await ofPage(ask, page, isHttps, door)
  return await ofProxy(ask, isHttps, door)
}

const html = { accept: 'text/html' }

function isInspectorPage({ status, body }: Answer): boolean {
  return status === 200 && /<title>MCP Inspector<\/title>/.test(body)
}

async function ofPage(ask: Ask, page: Answer, isHttps: boolean, door: Door): Promise<InspectorFacts> {
  const token = /__INSPECTOR_API_TOKEN__ = "([\w.~+/=-]{1,256})"/.exec(page.body)?.[1]
  const settings = await ask('/api/config')
  const isSecond = token !== undefined || isInterface(settings)
  const common = { part: 'page', version: null, isHttps, origins: [] } as const
  // The page of 1.x is a page and nothing else: what it may do is its proxy's to say.
  if (!isSecond) return { ...common, generation: 1, token: 'kept' }
  const opened = token === undefined ? settings : await ask('/api/config', withToken(token))
  return {
    ...common,
    generation: 2,
    version: versionIn(opened),
    token: statusOf(settings) === 200 ? 'not-asked-for' : token === undefined ? 'kept' : 'handed-out',
    origins: await verdicts(ask, '/api/config', isHttps, door),
  }
}

/** The proxy of 1.x, which starts programs for its page. */
async function ofProxy(ask: Ask, isHttps: boolean, door: Door): Promise<InspectorFacts | null> {
  const health = await ask('/health')
  if (typeof health === 'string' || health.status !== 200 || !/^\{"status":"ok"\}/.test(health.body))
    return null
  const settings = await ask('/config')
  if (!isInterface(settings)) return null
  return {
    generation: 1,
    part: 'proxy',
    version: null,
    isHttps,
    token: statusOf(settings) === 200 ? 'not-asked-for' : 'kept',
    origins: await verdicts(ask, '/config', isHttps, door),
  }
}

const withToken = (token: string) => ({ 'x-mcp-remote-auth': `Bearer ${token}` })

/** It answers with its settings, or asks for its token. */
function isInterface(answer: Answer | NoAnswer): boolean {
  const settings = objectIn(answer)
  const status = statusOf(answer)
  if (status === 200) return settings !== undefined && 'defaultEnvironment' in settings
  return status === 401 && settings !== undefined && 'error' in settings
}

function statusOf(answer: Answer | NoAnswer): number | undefined {
  return typeof answer === 'string' ? undefined : answer.status
}

function versionIn(answer: Answer | NoAnswer): string | null {
  const version = objectIn(answer)?.version
  return typeof version === 'string' && /^[\w.+-]{1,32}$/.test(version) ? version : null
}

function objectIn(answer: Answer | NoAnswer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(typeof answer === 'string' ? '' : answer.body)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

async function verdicts(
  ask: Ask,
  path: string,
  isHttps: boolean,
  { origins, isGated }: Door,
): Promise<InspectorFacts['origins']> {
  const judged: { origin: string; allowed: boolean | null }[] = []
  if (isGated) return judged
  for (const published of origins.slice(0, mostOrigins)) {
    const origin = isHttps ? published.replace(/^http:/, 'https:') : published
    const answer = await ask(path, { origin })
    const status = statusOf(answer)
    judged.push({ origin, allowed: status === undefined ? null : status !== 403 })
  }
  return judged
}
