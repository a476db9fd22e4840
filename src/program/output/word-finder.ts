/**
 * Finds where one of many words begins in a chunk of bytes (Wu and Manber). Two bytes tell how far the next word is away at least, so that
 * most bytes are never looked at. Each step goes forward: what is read cannot make it slow.
 */
export class WordFinder<Meaning> {
  /** Of the last find. */
  meaning: Meaning | undefined
  readonly #shortest: number
  /** By two bytes: how many bytes may be passed over; 0 = a word may stand here. */
  readonly #shifts: Uint8Array
  /** By two bytes: the words of which these are the last two of the first `#shortest`; the longest first. */
  readonly #words = new Map<number, { readonly bytes: Uint8Array; readonly meaning: Meaning }[]>()

  /** @param words in UTF-8, each of three bytes at least. Where several begin, the longest is found. */
  constructor(words: ReadonlyMap<string, Meaning>) {
    const all = [...words].map(([word, meaning]) => ({ bytes: new Uint8Array(Buffer.from(word)), meaning }))
    this.#shortest = Math.min(255, ...all.map(({ bytes }) => bytes.length))
    const last = this.#shortest - 2
    this.#shifts = new Uint8Array(65_536).fill(this.#shortest - 1)
    for (const word of all.sort((one, other) => other.bytes.length - one.bytes.length)) {
      for (let at = 0; at <= last; at++) {
        const pair = pairOf(word.bytes, at)
        this.#shifts[pair] = Math.min(this.#shifts[pair] as number, last - at)
      }
      const pair = pairOf(word.bytes, last)
      this.#words.set(pair, [...(this.#words.get(pair) ?? []), word])
    }
  }

  /** @returns where the next word begins that ends before `to`; -1 = there is none. */
  find(bytes: Uint8Array, from: number, to = bytes.length): number {
    const shifts = this.#shifts
    const end = to - 1
    const back = this.#shortest - 2
    let at = from + back
    while (at < end) {
      const pair = (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
      const shift = shifts[pair] as number
      if (shift > 0) {
        at += shift
        continue
      }
      if (this.#isAt(bytes, at - back, to, pair)) return at - back
      at++
    }
    return -1
  }

  #isAt(bytes: Uint8Array, start: number, to: number, pair: number): boolean {
    words: for (const { bytes: word, meaning } of this.#words.get(pair) ?? []) {
      const length = word.length
      if (start + length > to) continue
      for (let at = 0; at < length; at++) if (bytes[start + at] !== word[at]) continue words
      this.meaning = meaning
      return true
    }
    return false
  }
}

function pairOf(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
}
