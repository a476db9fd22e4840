/**
 * Where in an HTML page a script can stand in front of every other, and what a page says of its encoding. Both follow the tokenizer of
 * the HTML standard over the few bytes that matter, in one pass from left to right. Nothing looks for a tag further down: text that looks
 * like `<head>` may stand in a string, an attribute or a comment. Pages come as `latin1`, one character a byte.
 */

/** The white space of HTML. */
const space = /[\t\n\f\r ]*/y

/**
 * The offset behind the DOCTYPE, or where one would stand: in front of it a tag would put the page into quirks mode, behind it a script
 * makes the head. Undefined = the text ends within a comment or a DOCTYPE, so that nothing can be put in.
 * @param begin behind a byte order mark.
 */
export function scriptPlace(html: string, begin: number): number | undefined {
  let at = begin
  for (;;) {
    space.lastIndex = at
    at += space.exec(html)?.[0].length ?? 0
    if (/^<!doctype/i.test(html.slice(at, at + 9))) return endOf(html, '>', at)
    const end = commentEnd(html, at)
    if (end === at) return at
    if (end === undefined) return undefined
    at = end
  }
}

const commentsEnd = /--!?>/g

/** @returns `at` when no comment begins there; undefined when one begins and does not end. */
function commentEnd(html: string, at: number): number | undefined {
  if (html.startsWith('<!--', at)) {
    const inside = at + 4
    if (html.startsWith('>', inside)) return inside + 1
    if (html.startsWith('->', inside)) return inside + 2
    // One pattern: a search for each end would read on to the end of the page at every comment.
    commentsEnd.lastIndex = inside
    return commentsEnd.test(html) ? commentsEnd.lastIndex : undefined
  }
  // An XML declaration and the like: a bogus comment, which the first > ends. "</" and a letter is a tag.
  return /^<(?:[!?]|\/[^a-z])/i.test(html.slice(at, at + 3)) ? endOf(html, '>', at) : at
}

function endOf(html: string, text: string, from: number): number | undefined {
  const found = html.indexOf(text, from)
  return found < 0 ? undefined : found + text.length
}

/** Bytes within which browsers look for a `<meta>` that names the encoding. */
const prescanned = 1024

/** The encoding that a page's own `<meta>` names, by the standard's "prescan a byte stream"; undefined = none. */
export function declaredEncoding(page: string): string | undefined {
  const html = page.slice(0, prescanned)
  for (let at = html.indexOf('<'); at >= 0; at = html.indexOf('<', at)) {
    if (html.startsWith('<!--', at)) {
      const end = endOf(html, '-->', at + 2)
      if (end === undefined) return undefined
      at = end
    } else if (/^<\/?[a-z]/i.test(html.slice(at, at + 3))) {
      const tag = readTag(html, at)
      if (tag === undefined) return undefined
      if (/^<meta[\t\n\f\r /]/i.test(html.slice(at, at + 6))) {
        const encoding = metaEncoding(tag.attributes)
        if (encoding !== undefined) return encoding
      }
      at = tag.end
    } else if (/^<[!/?]/.test(html.slice(at, at + 2))) {
      const end = endOf(html, '>', at)
      if (end === undefined) return undefined
      at = end
    } else at++
  }
  return undefined
}

const tagName = /<\/?[^\t\n\f\r >]*/y
const attribute =
  /[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)(?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r >"'][^\t\n\f\r >]*)|(?=>)))?/y
const valueWithoutEnd = /[\t\n\f\r ]*=/y

/** Where a name stands twice, the first one holds. Undefined = the text ends within the tag. */
function readTag(html: string, at: number): { attributes: Map<string, string>; end: number } | undefined {
  const attributes = new Map<string, string>()
  tagName.lastIndex = at
  let end = at + (tagName.exec(html)?.[0].length ?? 1)
  for (;;) {
    attribute.lastIndex = end
    const match = attribute.exec(html)
    if (match === null) return { attributes, end }
    const [whole, name = '', double, single, bare] = match
    const key = name.toLowerCase()
    if (!attributes.has(key)) attributes.set(key, double ?? single ?? bare ?? '')
    end += whole.length
    valueWithoutEnd.lastIndex = end
    if (valueWithoutEnd.test(html)) return undefined
  }
}

function metaEncoding(attributes: ReadonlyMap<string, string>): string | undefined {
  const charset = attributes.get('charset')
  if (charset !== undefined) return encodingOf(charset)
  if (attributes.get('http-equiv')?.toLowerCase() !== 'content-type') return undefined
  const match = /charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r ;"']+))/i.exec(
    attributes.get('content') ?? '',
  )
  return encodingOf(match?.[1] ?? match?.[2] ?? match?.[3] ?? '')
}

/** A `<meta>` written in ASCII cannot mean UTF-16: browsers then use UTF-8. */
function encodingOf(label: string): string | undefined {
  try {
    const { encoding } = new TextDecoder(label)
    return encoding.startsWith('utf-16') ? 'utf-8' : encoding
  } catch {
    return undefined
  }
}
