import type { OriginMap } from './origins.ts'
import { gatePaths } from './pages.ts'

/** Bytes of a text that is translated; a longer one is passed on as it is. */
export const longestTranslated = 4 * 1024 * 1024

/** What is to be done with the body of an answer. */
export type BodyTreatment = 'stream' | 'document' | 'configuration'

/** Where Inspector 2.x tells its page the address of the sandbox for MCP Apps. */
const configurationPath = '/api/config'

/**
 * Bodies are streamed, untouched and unbuffered, but for two: a page that a browser navigates to, which gets the gate's script,
 * and the Inspector's own configuration, which names its second port by an address that only its own machine can reach.
 */
export function bodyTreatment(request: {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly accept: string | undefined
}): BodyTreatment {
  if (request.method !== 'GET') return 'stream'
  if (request.url?.split('?')[0] === configurationPath) return 'configuration'
  return request.accept?.includes('text/html') === true ? 'document' : 'stream'
}

/** True when an answer is of the kind that the treatment is meant for. */
export function isTreatable(
  treatment: BodyTreatment,
  answer: {
    readonly status: number | undefined
    readonly type: string | undefined
    readonly encoding: string | undefined
  },
): boolean {
  if (answer.encoding !== undefined && answer.encoding !== 'identity') return false
  const type = answer.type?.toLowerCase() ?? ''
  if (treatment === 'document') return /^text\/html\s*(;|$)/.test(type)
  return treatment === 'configuration' && answer.status === 200 && /^application\/json\s*(;|$)/.test(type)
}

/** Names the targets by the addresses under which the visitor reaches them. */
export function translateOrigins(text: string, origins: OriginMap): string {
  let translated = text
  for (const [target, visible] of origins.pairs()) {
    // No further digit: http://localhost:627 must not be found in http://localhost:6274.
    translated = translated.replace(new RegExp(`${escapePattern(target)}(?![\\d.\\w-])`, 'gi'), () => visible)
  }
  return translated
}

/**
 * A page as it is passed on: addresses translated, the gate's script in front of every other.
 * @param html its bytes as `latin1`: all that is looked for and put in is ASCII, so that every other byte stays what it was,
 *   whatever the page's encoding.
 */
export function translateDocument(html: string, origins: OriginMap): string {
  const script = `<script src="${gatePaths.script}"></script>`
  const translated = translateOrigins(html, origins)
  const head = /<head(\s[^>]*)?>/i.exec(translated)
  if (head === null) return translated
  const end = head.index + head[0].length
  return translated.slice(0, end) + script + translated.slice(end)
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
