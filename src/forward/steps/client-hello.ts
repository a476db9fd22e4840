/** What a ClientHello says that matters before it is answered. */
export type ParsedHello =
  /** @property alpn protocols that the client offers (RFC 7301), the best first; empty = none, or not to be read. */
  | { readonly kind: 'hello'; readonly alpn: readonly string[] }
  /** It is not whole yet. */
  | { readonly kind: 'more' }
  | { readonly kind: 'not-tls' }

const handshakeRecord = 22
const clientHello = 1
const alpnExtension = 16

/** A client's first message is no longer than this in bytes; RFC 8446 allows more, and nobody sends it. */
const longestHello = 65_536

/** Reads the beginning of a TLS connection: one ClientHello, in one record or several (RFC 8446, sections 4.1.2 and 5.1). */
export function parseClientHello(bytes: Buffer): ParsedHello {
  const message = handshakeOf(bytes)
  if (!Buffer.isBuffer(message)) return { kind: message }
  const fields = new Fields(message)
  // Version and random.
  fields.skip(34)
  fields.vector(1)
  fields.vector(2)
  fields.vector(1)
  const extensions = new Fields(fields.vector(2))
  while (extensions.hasMore) {
    const type = extensions.number(2)
    const body = extensions.vector(2)
    if (type === alpnExtension) return { kind: 'hello', alpn: protocolsIn(body) }
  }
  return { kind: 'hello', alpn: [] }
}

/** The body of the ClientHello, put together from its records. */
function handshakeOf(bytes: Buffer): Buffer | 'more' | 'not-tls' {
  let message = Buffer.alloc(0)
  for (let at = 0; ; ) {
    if (bytes.length > at && bytes[at] !== handshakeRecord) return 'not-tls'
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) return 'not-tls'
    if (bytes.length < at + 5) return 'more'
    const end = at + 5 + bytes.readUInt16BE(at + 3)
    message = Buffer.concat([message, bytes.subarray(at + 5, end)])
    if (message.length > 0 && message[0] !== clientHello) return 'not-tls'
    if (message.length >= 4) {
      const length = message.readUIntBE(1, 3)
      if (length > longestHello) return 'not-tls'
      if (message.length >= 4 + length) return message.subarray(4, 4 + length)
    }
    if (bytes.length < end) return 'more'
    at = end
  }
}

function protocolsIn(body: Buffer): string[] {
  const list = new Fields(new Fields(body).vector(2))
  const protocols: string[] = []
  while (list.hasMore) {
    const name = list.vector(1).toString('latin1')
    if (name !== '') protocols.push(name)
  }
  return protocols
}

/** Reads one field after another. What is not there is empty: a broken hello is for the handshake to refuse. */
class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get hasMore(): boolean {
    return this.#at < this.#bytes.length
  }

  skip(length: number): void {
    this.#at += length
  }

  number(length: 1 | 2): number {
    const from = this.#at
    this.#at += length
    return this.#at <= this.#bytes.length ? this.#bytes.readUIntBE(from, length) : 0
  }

  /** @param lengthBytes of the length in front of it. */
  vector(lengthBytes: 1 | 2): Buffer {
    const length = this.number(lengthBytes)
    const from = this.#at
    this.#at += length
    return this.#bytes.subarray(from, this.#at)
  }
}
