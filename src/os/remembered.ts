/**
 * A function of a text that is asked for the same few texts over and over: it remembers what came of them. When there are too many it forgets
 * all, so that strangers who make up texts cost no memory.
 * @param most texts that are remembered.
 */
export function remembered<Result>(make: (text: string) => Result, most = 256): (text: string) => Result {
  const known = new Map<string, Result>()
  return (text) => {
    const before = known.get(text)
    if (before !== undefined) return before
    const result = make(text)
    if (known.size >= most) known.clear()
    known.set(text, result)
    return result
  }
}
