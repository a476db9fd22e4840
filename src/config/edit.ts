import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Document, isMap, isNode, isSeq, parseDocument } from 'yaml'

/** Entries to add to a configuration. */
export interface Additions {
  readonly programs: readonly Readonly<Record<string, unknown>>[]
  readonly forwards: readonly Readonly<Record<string, unknown>>[]
}

/**
 * The text of a configuration file with entries added at the end of its lists. Everything else stays as a person wrote it, comments too.
 * @param text a valid configuration; empty for a new file.
 * @param file its name, which says whether it is JSON.
 */
export function withEntries(text: string, file: string, additions: Additions): string {
  const lists = Object.entries(additions).filter(([, entries]) => entries.length > 0)
  if (path.extname(file) === '.json') return jsonWithEntries(text, lists)
  const content = contentOf(text)
  const wanted: Record<string, unknown> = { ...(typeof content === 'object' ? content : {}) }
  for (const [key, entries] of lists) wanted[key] = [...listOf(wanted[key]), ...entries]
  const edited = lists.reduce((before, [key, entries]) => inserted(before, key, entries), text)
  return isDeepStrictEqual(contentOf(edited), wanted) ? edited : rewritten(text, lists)
}

/** Undefined for what is no YAML. */
function contentOf(text: string): unknown {
  const document = parseDocument(text)
  return document.errors.length > 0 ? undefined : document.toJS()
}

type Lists = readonly (readonly [key: string, entries: readonly unknown[]])[]

/** The text with lines put in after the last entry of a list, or with a new list at its end. */
function inserted(text: string, key: string, entries: readonly unknown[]): string {
  const { contents } = parseDocument(text)
  const list = isMap(contents) ? contents.get(key, true) : undefined
  const last = isSeq(list) ? list.items.at(-1) : undefined
  const end = isNode(last) ? last.range?.[1] : undefined
  if (list === undefined || end === undefined) {
    const before = text === '' || text.endsWith('\n') ? text : `${text}\n`
    return `${before}${before.trim() === '' ? '' : '\n'}${key}:\n${lines(entries, '  ')}`
  }
  const lineEnd = text[end - 1] === '\n' ? end : text.indexOf('\n', end) + 1
  const before = lineEnd === 0 ? `${text}\n` : text.slice(0, lineEnd)
  const start = isNode(last) ? (last.range?.[0] ?? 0) : 0
  const indentation = /(?:^|\n)([ \t]*)-[ \t]+$/.exec(text.slice(0, start))?.[1] ?? '  '
  return before + lines(entries, indentation) + (lineEnd === 0 ? '' : text.slice(lineEnd))
}

function lines(entries: readonly unknown[], indentation: string): string {
  const document = new Document(entries)
  for (const entry of isSeq(document.contents) ? document.contents.items : []) {
    for (const { value } of isMap(entry) ? entry.items : []) {
      // Words of a command on one line, as people write them.
      if (isSeq(value)) value.flow = true
    }
  }
  const text = document.toString({ lineWidth: 0, flowCollectionPadding: false })
  return text.replaceAll(/^(?=.)/gm, indentation)
}

/** What cannot be put in as lines, such as a list in brackets: comments stay, the writing may change. */
function rewritten(text: string, lists: Lists): string {
  const document = parseDocument(text)
  for (const [key, entries] of lists) {
    const list = document.get(key)
    if (isSeq(list)) for (const entry of entries) list.add(document.createNode(entry))
    else document.set(key, document.createNode(entries))
  }
  return document.toString({ lineWidth: 0 })
}

function jsonWithEntries(text: string, lists: Lists): string {
  const content = (text.trim() === '' ? {} : JSON.parse(text)) as Record<string, unknown>
  for (const [key, entries] of lists) content[key] = [...listOf(content[key]), ...entries]
  const indentation = /^\{\s*?\n([ \t]+)/.exec(text)?.[1] ?? '  '
  return `${JSON.stringify(content, null, indentation)}\n`
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
