/** Headers of revision 2026-07-28 that repeat a text of the body: what is not plain ASCII is written in base64. */

/** Visible ASCII, blanks between. */
const plain = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/

const before = '=?base64?'
const behind = '?='

/** A text as a header holds it. */
export function headerValueOf(text: string): string {
  const looksEncoded = text.startsWith(before) && text.endsWith(behind)
  return plain.test(text) && !looksEncoded
    ? text
    : `${before}${Buffer.from(text).toString('base64')}${behind}`
}

/** The text that a header holds. Undefined = it holds what no header may: other characters, or broken base64. */
export function textOfHeader(value: string): string | undefined {
  const isEncoded =
    value.startsWith(before) && value.endsWith(behind) && value.length >= before.length + behind.length
  if (!isEncoded) return /^[\t\x20-\x7e]*$/.test(value) ? value : undefined
  const base64 = value.slice(before.length, -behind.length)
  const bytes = Buffer.from(base64, 'base64')
  // Node passes over what is no base64.
  if (bytes.toString('base64') !== base64) return undefined
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? text : undefined
}
