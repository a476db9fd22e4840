/**
 * SHA-256 (FIPS 180-4), for pages that have no `crypto.subtle`. Its source text is sent to browsers, so it refers to nothing outside
 * itself. Nothing secret is compared by it here; where Node runs, node:crypto is used.
 */
export function sha256(message: Uint8Array): Uint8Array {
  const primes: number[] = []
  for (let candidate = 2; primes.length < 64; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate)
  }
  // The first 32 bits behind the point of the primes' roots: cube roots for the rounds, square roots for the start.
  const fraction = (root: number) => Math.floor((root % 1) * 2 ** 32) | 0
  const constants = primes.map((prime) => fraction(Math.cbrt(prime)))
  const state = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)))
  const rotate = (word: number, bits: number) => (word >>> bits) | (word << (32 - bits))

  const padded = new Uint8Array(Math.ceil((message.length + 9) / 64) * 64)
  padded.set(message)
  padded[message.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - 8, Math.floor(message.length / 2 ** 29))
  view.setUint32(padded.length - 4, (message.length << 3) >>> 0)

  const words = new Int32Array(64)
  const word = (index: number) => words[index] ?? 0
  for (let block = 0; block < padded.length; block += 64) {
    for (let index = 0; index < 64; index++) {
      if (index < 16) {
        words[index] = view.getInt32(block + index * 4)
        continue
      }
      const early = word(index - 15)
      const late = word(index - 2)
      const mixedEarly = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3)
      const mixedLate = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10)
      words[index] = word(index - 16) + mixedEarly + word(index - 7) + mixedLate
    }
    let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state
    for (let index = 0; index < 64; index++) {
      const choice = (e & f) ^ (~e & g)
      const majority = (a & b) ^ (a & c) ^ (b & c)
      const sumE = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
      const sumA = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
      const next = (h + sumE + choice + (constants[index] ?? 0) + word(index)) | 0
      h = g
      g = f
      f = e
      e = (d + next) | 0
      d = c
      c = b
      b = a
      a = (next + sumA + majority) | 0
    }
    for (const [index, value] of [a, b, c, d, e, f, g, h].entries())
      state[index] = (state[index] ?? 0) + value
  }
  const digest = new DataView(new ArrayBuffer(32))
  state.forEach((value, index) => {
    digest.setInt32(index * 4, value)
  })
  return new Uint8Array(digest.buffer)
}
