import { randomBytes } from 'node:crypto'
import { gatePaths } from './login.ts'
import type { OriginMap } from './origins.ts'
import { declaredEncoding, scriptPlace } from './page-place.ts'

/** Bytes of a text that is translated; a longer one is passed on as it is. */
export const longestTranslated = 4 * 1024 * 1024

/** What is to be done with the body of an answer. */
export type BodyTreatment = 'stream' | 'document' | 'configuration'

/** Where the page of Inspector 2.x asks for the address of the sandbox for MCP Apps. */
const configurationPath = '/api/config'

/** What `Sec-Fetch-Dest` says of a request whose answer becomes a page, in a tab or a frame. */
const pageDestinations = ['document', 'iframe', 'frame', 'object', 'embed']

/**
 * Bodies are streamed, untouched and unbuffered, but for two: a page that a browser navigates to, which gets the gate's script,
 * and the Inspector's own configuration, which names its second port by an address that only its own machine can reach.
 */
export function bodyTreatment(request: {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: {
    readonly accept?: string | undefined
    readonly [name: string]: string | readonly string[] | undefined
  }
}): BodyTreatment {
  const { method, url, headers } = request
  if (method !== 'GET' && method !== 'HEAD') return 'stream'
  if (url?.split('?')[0] === configurationPath) return 'configuration'
  const destination = headers['sec-fetch-dest']
  if (typeof destination === 'string') return pageDestinations.includes(destination) ? 'document' : 'stream'
  // Parts of a page that a script loads and puts in are no pages.
  if (headers['x-requested-with'] !== undefined) return 'stream'
  return headers.accept?.includes('text/html') === true ? 'document' : 'stream'
}

/** True when an answer is of the kind that the treatment is meant for, and has a whole body. */
export function isTreatable(
  treatment: BodyTreatment,
  answer: { readonly status: number | undefined; readonly type: string | undefined },
): boolean {
  const { status = 0 } = answer
  if (status < 200 || [204, 205, 206, 304].includes(status)) return false
  const type = answer.type?.toLowerCase() ?? ''
  if (treatment === 'document') return /^text\/html\s*(;|$)/.test(type)
  return treatment === 'configuration' && status === 200 && /^application\/json\s*(;|$)/.test(type)
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

/** How a page's bytes are to be read, and where they begin. */
interface Encoding {
  readonly begin: number
  /** How the ASCII of a tag is written in it. */
  readonly write: (ascii: string) => string
  /** True when a byte order mark or a header names the encoding, so that no `<meta>` is looked for. */
  readonly isTold: boolean
}

/** A byte order mark is believed before any header, as browsers do. */
function encodingOf(html: string, contentType: string): Encoding {
  const ascii = (text: string) => text
  const little = (text: string) => text.replace(/./gs, '$&\0')
  const big = (text: string) => text.replace(/./gs, '\0$&')
  if (html.startsWith('\xef\xbb\xbf')) return { begin: 3, write: ascii, isTold: true }
  if (html.startsWith('\xff\xfe')) return { begin: 2, write: little, isTold: true }
  if (html.startsWith('\xfe\xff')) return { begin: 2, write: big, isTold: true }
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1]?.toLowerCase()
  if (charset === undefined) return { begin: 0, write: ascii, isTold: false }
  if (/^(utf-16be|unicodefffe)$/.test(charset)) return { begin: 0, write: big, isTold: true }
  if (/^(utf-16(le)?|unicode|unicodefeff|ucs-2|csunicode|iso-10646-ucs-2)$/.test(charset))
    return { begin: 0, write: little, isTold: true }
  return { begin: 0, write: ascii, isTold: true }
}

/** A page as it is passed on. */
export interface TranslatedDocument {
  /** `latin1`, as it came. */
  readonly html: string
  readonly contentType: string
}

/**
 * A page as it is passed on: addresses translated, the gate's script in front of every other.
 * @param html its bytes as `latin1`: all that is looked for and put in is ASCII, so that every other byte stays what it was,
 *   whatever the page's encoding.
 * @param nonce of the page's content security policy; empty = the policy lets the script in without one.
 */
export function translateDocument(
  html: string,
  contentType: string,
  nonce: string,
  origins: OriginMap,
): TranslatedDocument {
  const { begin, write, isTold } = encodingOf(html, contentType)
  const isWide = write('a').length > 1
  const translated = isWide ? html : translateOrigins(html, origins)
  const place = isWide ? widePlace(html, begin, write) : scriptPlace(translated, begin)
  if (place === undefined) return { html: translated, contentType }
  const attribute = nonce === '' ? '' : ` nonce="${nonce}"`
  const script = write(`<script src="${gatePaths.script}"${attribute}></script>`)
  // The script moves what the page says of its encoding away from where browsers look for it, so the header says it.
  const encoding = isTold ? undefined : declaredEncoding(html)
  return {
    html: translated.slice(0, place) + script + translated.slice(place),
    contentType: encoding === undefined ? contentType : `text/html; charset=${encoding}`,
  }
}

/** Each character that is not of one byte's width becomes one that means nothing to the tokenizer. */
function widePlace(html: string, begin: number, write: Encoding['write']): number | undefined {
  const high = write('a').startsWith('\0') ? 0 : 1
  const bytes = Buffer.from(html.slice(begin), 'latin1')
  const narrow = Buffer.alloc(bytes.length >> 1, 0x80)
  for (let at = 0; at < narrow.length; at++) {
    if (bytes[2 * at + high] === 0) narrow[at] = bytes[2 * at + 1 - high] ?? 0
  }
  const place = scriptPlace(narrow.toString('latin1'), 0)
  return place === undefined ? undefined : begin + 2 * place
}

/** A value that makes one script of one answer known to a content security policy. */
export function freshNonce(): string {
  return randomBytes(18).toString('base64')
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
