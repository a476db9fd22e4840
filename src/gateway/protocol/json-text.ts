/**
 * protocol/: what clients and servers speak: messages (message.ts), errors (errors.ts), revisions (revisions.ts), and, in this file, the
 * text that they are. A text comes in, `readMessage` finds its parts, `spliced` or `rebuilt` changes one of them, and it goes on. A revision
 * of the protocol that is new is a line of revisions.ts.
 *
 * JSON as text: where the values of an object stand, and how one of them is replaced while every other byte stays as it is. The relay never
 * parses and prints a payload: numbers beyond 2^53, the order of keys and the escapes of strings would change.
 *
 * The text must be JSON already (`JSON.parse` has taken it, or its sender is trusted to write it): these functions find places, they do not
 * validate.
 */

/** A part of a text: from `start` up to and without `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

export interface Edit extends Span {
  readonly by: string
}

/** The text does not have the structure of JSON. */
export class NotJson extends Error {
  constructor(at: number) {
    super(`this is no JSON at character ${at + 1}`)
  }
}

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

/** The place of the next character that is no white space. */
export function skipSpace(text: string, at: number): number {
  while (at < text.length && isSpace(text.charCodeAt(at))) at++
  return at
}

/** @param at the opening quotation mark. @returns the place behind the closing one. */
function skipString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes++
    if (slashes % 2 === 0) return end + 1
  }
  throw new NotJson(at)
}

/** @param at where a value begins. @returns the place behind it. */
function skipValue(text: string, at: number): number {
  const first = text.charCodeAt(at)
  if (first === quote) return skipString(text, at)
  if (first !== 0x7b && first !== 0x5b) {
    let end = at
    while (end < text.length && isPlain(text.charCodeAt(end))) end++
    if (end === at) throw new NotJson(at)
    return end
  }
  let depth = 0
  for (let place = at; place < text.length; ) {
    const code = text.charCodeAt(place)
    if (code === quote) {
      place = skipString(text, place)
      continue
    }
    place++
    if (code === 0x7b || code === 0x5b) depth++
    else if ((code === 0x7d || code === 0x5d) && --depth === 0) return place
  }
  throw new NotJson(at)
}

/** A character of a number, or of true, false, null. */
function isPlain(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x7a) || isNumberSign(code)
}

/** `E`, `+`, `-`, `.` */
function isNumberSign(code: number): boolean {
  return code === 0x45 || code === 0x2b || code === 0x2d || code === 0x2e
}

/** The members of an object: where each value stands, and the whole member. */
export interface Member extends Span {
  /** Where its key begins. */
  readonly keyStart: number
}

/**
 * Finds the members of an object.
 * @param at where the object begins; white space before it is passed over.
 * @throws NotJson when there is none. A key that is there twice is refused, too: two readers would take different ones.
 */
export function membersOf(text: string, at = 0): ReadonlyMap<string, Member> {
  const members = new Map<string, Member>()
  let place = skipSpace(text, at)
  if (text.charCodeAt(place) !== 0x7b) throw new NotJson(place)
  place = skipSpace(text, place + 1)
  if (text.charCodeAt(place) === 0x7d) return members
  for (;;) {
    if (text.charCodeAt(place) !== quote) throw new NotJson(place)
    const keyStart = place
    const keyEnd = skipString(text, place)
    const key = stringOf(text, { start: keyStart, end: keyEnd })
    place = skipSpace(text, keyEnd)
    if (text.charCodeAt(place) !== colon) throw new NotJson(place)
    const start = skipSpace(text, place + 1)
    const end = skipValue(text, start)
    if (members.has(key)) throw new NotJson(keyStart)
    members.set(key, { keyStart, start, end })
    place = skipSpace(text, end)
    const next = text.charCodeAt(place)
    if (next === 0x7d) return members
    if (next !== comma) throw new NotJson(place)
    place = skipSpace(text, place + 1)
  }
}

/** The elements of an array. @throws NotJson when there is none at `at`. */
export function elementsOf(text: string, at: number): readonly Span[] {
  const elements: Span[] = []
  let place = skipSpace(text, at)
  if (text.charCodeAt(place) !== 0x5b) throw new NotJson(place)
  place = skipSpace(text, place + 1)
  if (text.charCodeAt(place) === 0x5d) return elements
  for (;;) {
    const end = skipValue(text, place)
    elements.push({ start: place, end })
    place = skipSpace(text, end)
    const next = text.charCodeAt(place)
    if (next === 0x5d) return elements
    if (next !== comma) throw new NotJson(place)
    place = skipSpace(text, place + 1)
  }
}

/** The text of a part. */
export function textOf(text: string, { start, end }: Span): string {
  return text.slice(start, end)
}

/** The value of a part that is a JSON string. */
export function stringOf(text: string, { start, end }: Span): string {
  const raw = text.slice(start + 1, end - 1)
  return raw.includes('\\') ? (JSON.parse(text.slice(start, end)) as string) : raw
}

/** Whether a value is an object. */
export function isObjectAt(text: string, { start }: Span): boolean {
  return text.charCodeAt(start) === 0x7b
}

/** Whether a value is a string. */
export function isStringAt(text: string, { start }: Span): boolean {
  return text.charCodeAt(start) === quote
}

/** Replaces parts that do not overlap, in any order. */
export function spliced(text: string, edits: readonly Edit[]): string {
  if (edits.length === 1) {
    const [edit] = edits
    return edit === undefined ? text : text.slice(0, edit.start) + edit.by + text.slice(edit.end)
  }
  let result = ''
  let from = 0
  for (const { start, end, by } of inOrder(edits)) {
    result += text.slice(from, start) + by
    from = end
  }
  return result + text.slice(from)
}

function inOrder(edits: readonly Edit[]): readonly Edit[] {
  const isSorted = edits.every(({ start }, index) => index === 0 || (edits[index - 1]?.start ?? 0) <= start)
  return isSorted ? edits : edits.toSorted((a, b) => a.start - b.start)
}

/** What changes in an object: members that go, and members that get another value or are added. Values are JSON text. */
export interface ObjectChanges {
  readonly drop?: readonly string[]
  readonly set?: Readonly<Record<string, string>>
}

/** An object with changes; values that stay are copied as they are written. */
export function rebuilt(text: string, members: ReadonlyMap<string, Member>, changes: ObjectChanges): string {
  const { drop = [], set = {} } = changes
  const kept: string[] = []
  for (const [key, member] of members) {
    if (drop.includes(key) || Object.hasOwn(set, key)) continue
    kept.push(text.slice(member.keyStart, member.end))
  }
  for (const [key, value] of Object.entries(set)) kept.push(`${JSON.stringify(key)}:${value}`)
  return `{${kept.join(',')}}`
}

/** A text that is an object, with members put in front. @param members as in `"a":1,"b":2`; not empty. */
export function withMembers(text: string, members: string): string {
  const inside = skipSpace(text, 0) + 1
  const isEmpty = text.charCodeAt(skipSpace(text, inside)) === 0x7d
  return `${text.slice(0, inside)}${isEmpty ? members : `${members},`}${text.slice(inside)}`
}

/** A string among the members of an object; undefined when it is missing or no string. */
export function stringIn(
  text: string,
  members: ReadonlyMap<string, Member>,
  name: string,
): string | undefined {
  const member = members.get(name)
  return member !== undefined && isStringAt(text, member) ? stringOf(text, member) : undefined
}

/** A value among the members of an object, as parsed; undefined when it is missing. @throws SyntaxError */
export function valueIn(text: string, members: ReadonlyMap<string, Member>, name: string): unknown {
  const member = members.get(name)
  return member === undefined ? undefined : JSON.parse(textOf(text, member))
}
