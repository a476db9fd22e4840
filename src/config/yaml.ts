/** What a file's text is parsed with, to be loaded when there is a file. */
import { isMap, isScalar, isSeq } from 'yaml'

export { isNode, LineCounter, parseDocument } from 'yaml'

/**
 * Where the first key begins that its map has already; undefined = there is none. The library's own look compares every key with all before
 * it: a text of some hundred kilobytes would keep a monitor busy for a minute.
 */
export function keyThereTwice(contents: unknown): number | undefined {
  let first: number | undefined
  for (const nodes = [contents]; nodes.length > 0; ) {
    const node = nodes.pop()
    if (isSeq(node)) for (const item of node.items) nodes.push(item)
    if (!isMap(node)) continue
    const known = new Set<unknown>()
    for (const { key, value } of node.items) {
      nodes.push(value)
      if (!isScalar(key)) continue
      const at = key.range?.[0] ?? 0
      if (known.has(key.value) && (first === undefined || at < first)) first = at
      known.add(key.value)
    }
  }
  return first
}
