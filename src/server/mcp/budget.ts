/**
 * What an answer may take of a model's context. Clients refuse long answers (some at 25,000 tokens), and every token costs: what does not
 * fit is left out, counted, and reached by a cursor.
 */

/** Characters that an answer has when nobody asks for more: 8,000 tokens, with 3 characters for each, which logs and JSON come near to. */
export const answerCharacters = 24_000

/** What a client may take of the large answers before it puts them into a file (`anthropic/maxResultSizeChars`). */
export const largestAnswerCharacters = 100_000

/** Those items, from the first on, that fit. At least one is taken, so that a cursor always moves. */
export function fitting<Item>(items: readonly Item[], characters = answerCharacters): readonly Item[] {
  let used = 0
  const end = items.findIndex((item) => {
    used += JSON.stringify(item).length + 1
    return used > characters
  })
  return end < 0 ? items : items.slice(0, Math.max(1, end))
}

/** A text that fits: its end is what counts, as in a log, so that its beginning is cut. */
export function lastOf(text: string, characters = answerCharacters): string {
  if (text.length <= characters) return text
  const kept = text.slice(text.length - characters)
  const begin = kept.indexOf('\n') + 1
  const dropped = text.slice(0, text.length - kept.length + begin).split('\n').length - 1
  return `[${dropped} lines dropped]\n${kept.slice(begin)}`
}
