import { maxLineBytes } from './line.ts'
import * as wasm from './web-assembly.ts'

/** What one look at the bytes of whole lines has found. Valid until the next scan. */
export interface Scan {
  readonly count: number
  /** Places of the line ends. */
  readonly ends: Uint32Array
  /** How many lines have to be looked at by themselves, to give them classes. The first always has. */
  readonly looks: number
  /** For each of those two numbers: its place among the lines, and where in the bytes a word may stand first; `noPlace` = nowhere. */
  readonly look: Uint32Array
}

export const noPlace = 0xffff_ffff

const lineEnd = 0x0a
const carriageReturn = 0x0d
const ansiEscape = 0x1b

/** A line that begins with one of these may go on the one before: `Classifier` knows. */
const firstOfMore = ' \tTCR}]'

const buckets = 8

/** Bytes of a chunk that can be scanned, and of an open line before it. */
const mostChunk = 65_536
const mostOpen = maxLineBytes + 64

/** The memory of the scan, in bytes. Of each word, `heads` knows the hash of the first four bytes. */
const headBits = 13
const place = { results: 0, firsts: 64, tables: 320, heads: 320 + 4 + 128, ends: 16_384 } as const
const tableBytes = 4 + 128 + (1 << headBits)
const mostBytes = mostOpen + mostChunk
const looksAt = place.ends + 4 * mostBytes
const roomAt = looksAt + 8 * mostBytes + mostOpen
const pages = Math.ceil((roomAt + mostChunk + 64) / 65_536)

const multiplier = 0x9e3779b1

/**
 * Whether a word may begin at a place is asked of sixteen places at once: the words are divided into eight buckets, and two tables for each
 * of their first four bytes say by the halves of a byte in which buckets it may stand there (the "Teddy" of Hyperscan). What all four
 * agree on is asked of the hashes. A place that is missed is none; one that is told may be none.
 */
export class ScanTables {
  readonly bytes = new Uint8Array(tableBytes)

  /** @param words in UTF-8, each of three bytes at least. */
  constructor(words: readonly string[]) {
    const all = words.map((word) => Buffer.from(word)).sort(Buffer.compare)
    const head = Math.min(4, ...all.map(({ length }) => length))
    const view = new DataView(this.bytes.buffer)
    const mask = head === 4 ? 0xffff_ffff : 0x00ff_ffff
    view.setUint32(0, mask, true)
    // A byte that no word has says nothing.
    this.bytes.fill(head === 4 ? 0 : 0xff, 4 + 96, 4 + 128)
    for (const [number, word] of all.entries()) {
      const bucket = 1 << Math.floor((number * buckets) / all.length)
      for (let index = 0; index < head; index++) {
        const byte = word[index] as number
        for (const entry of [byte & 0x0f, 16 + (byte >> 4)])
          this.bytes[4 + 32 * index + entry] = (this.bytes[4 + 32 * index + entry] as number) | bucket
      }
      const four = (head === 4 ? word.readUInt32LE(0) : word.readUIntLE(0, 3)) & mask
      this.bytes[4 + 128 + (Math.imul(four, multiplier) >>> (32 - headBits))] = 1
    }
  }
}

/** Parameters of the scan, and its local variables. */
const names = [
  ...['text', 'end'],
  ...['at', 'bits', 'endBits', 'found', 'begin', 'lines', 'looks', 'last', 'isLong'],
  ...['bytes', 'agreed', 'odd'],
] as const
type Name = (typeof names)[number]
const locals = names.slice(2).map((name) => {
  return ['bytes', 'agreed', 'odd'].includes(name) ? wasm.types.v128 : wasm.types.i32
})

/** The scan itself: sixteen bytes a turn, and of those only line ends and where a word may begin one by one. */
function scanModule(): Uint8Array<ArrayBuffer> {
  const { add, and, i32, load, load16, store, when } = wasm
  const get = (name: Name) => wasm.get(names.indexOf(name))
  const set = (name: Name, value: wasm.Code) => wasm.set(names.indexOf(name), value)
  const addTo = (name: Name, count: number) => set(name, add(get(name), i32(count)))
  const table = (index: number) => load16(i32(0), place.tables + 4 + 16 * index)
  const mayStand = (offset: number) =>
    wasm.and16(
      wasm.pick16(table(2 * offset), wasm.and16(load16(get('at'), offset), wasm.all16(0x0f))),
      wasm.pick16(table(2 * offset + 1), wasm.shiftRight16(load16(get('at'), offset), i32(4))),
    )
  const places = wasm.subtract(get('found'), get('text'))
  const lookAt = (word: wasm.Code) => {
    const entry = wasm.shiftLeft(get('looks'), i32(3))
    return [
      ...store(entry, get('lines'), looksAt),
      ...store(entry, word, looksAt + 4),
      ...addTo('looks', 1),
      ...set('last', get('lines')),
    ]
  }
  const lastWord = add(i32(looksAt - 4), wasm.shiftLeft(get('looks'), i32(3)))
  const length = wasm.subtract(get('found'), get('begin'))
  const atLineEnd = [
    ...store(wasm.shiftLeft(get('lines'), i32(2)), places, place.ends),
    ...addTo('lines', 1),
    ...when(wasm.greater(length, i32(maxLineBytes)), set('isLong', i32(1))),
    ...set('begin', add(get('found'), i32(1))),
    ...when(wasm.loadByte(wasm.loadByte(get('begin')), place.firsts), lookAt(i32(noPlace))),
  ]
  const head = and(load(get('found')), load(i32(0), place.tables))
  const hash = wasm.shiftRight(wasm.multiply(head, i32(multiplier)), i32(32 - headBits))
  const atWord = when(
    wasm.loadByte(hash, place.heads),
    when(
      wasm.equal(get('last'), get('lines')),
      when(wasm.equal(load(lastWord), i32(noPlace)), store(lastWord, places)),
      lookAt(places),
    ),
  )
  const lowest = and(get('bits'), wasm.subtract(i32(0), get('bits')))
  const turn = [
    ...set('bytes', load16(get('at'))),
    ...set(
      'odd',
      wasm.or16(
        get('odd'),
        wasm.or16(
          wasm.equal16(get('bytes'), wasm.all16(carriageReturn)),
          wasm.equal16(get('bytes'), wasm.all16(ansiEscape)),
        ),
      ),
    ),
    ...set('agreed', wasm.and16(mayStand(0), mayStand(1))),
    ...set('agreed', wasm.and16(get('agreed'), wasm.and16(mayStand(2), mayStand(3)))),
    ...set('endBits', wasm.bits16(wasm.equal16(get('bytes'), wasm.all16(lineEnd)))),
    ...set('bits', wasm.or(get('endBits'), wasm.bits16(wasm.different16(get('agreed'), wasm.all16(0))))),
    // What stands after the end is of no scan.
    ...when(
      wasm.less(wasm.subtract(get('end'), get('at')), i32(16)),
      set(
        'bits',
        and(get('bits'), wasm.subtract(wasm.shiftLeft(i32(1), wasm.subtract(get('end'), get('at'))), i32(1))),
      ),
    ),
    ...wasm.whileTrue(get('bits'), [
      ...set('found', add(get('at'), wasm.trailingZeros(get('bits')))),
      ...when(and(get('endBits'), lowest), atLineEnd, atWord),
      ...set('bits', and(get('bits'), wasm.subtract(get('bits'), i32(1)))),
    ]),
    ...addTo('at', 16),
  ]
  return wasm.moduleOf(2, locals, pages, [
    ...set('at', get('text')),
    ...set('begin', get('text')),
    ...lookAt(i32(noPlace)),
    ...wasm.whileTrue(wasm.less(get('at'), get('end')), turn),
    ...store(i32(0), get('looks'), place.results),
    ...store(i32(0), wasm.or(get('isLong'), wasm.any16(get('odd'))), place.results + 4),
    ...get('lines'),
  ])
}

/** What is used of it: the types of Node 20 have no more than its name. */
interface WebAssemblyParts {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer }
      readonly run: (text: number, end: number) => number
    }
  }
}

/** Scans chunks; its memory is one for all programs, because a chunk is worked on without a pause. */
export class Scanner {
  /** Where a chunk may be read to: it is then scanned without a copy. */
  readonly room: Buffer
  readonly #memory: Buffer
  readonly #results: Uint32Array
  readonly #ends: Uint32Array
  readonly #look: Uint32Array
  readonly #run: (text: number, end: number) => number
  #tables: ScanTables | undefined

  /** @throws where WebAssembly, or so much address space for it, is not to be had. */
  constructor() {
    const { Instance, Module } = (globalThis as unknown as { readonly WebAssembly: WebAssemblyParts })
      .WebAssembly
    const { memory, run } = new Instance(new Module(scanModule())).exports
    const { buffer } = memory
    this.#run = run
    this.#memory = Buffer.from(buffer)
    this.#results = new Uint32Array(buffer, place.results, 2)
    this.#ends = new Uint32Array(buffer, place.ends, mostBytes)
    this.#look = new Uint32Array(buffer, looksAt, 2 * mostBytes)
    this.room = this.#memory.subarray(roomAt, roomAt + mostChunk)
    for (const character of firstOfMore) this.#memory[place.firsts + character.charCodeAt(0)] = 1
  }

  /**
   * Puts the bytes of a chunk behind those of an open line.
   * @returns undefined when there is no room for so many.
   */
  join(open: Buffer, chunk: Buffer): Buffer | undefined {
    if (open.length > mostOpen || chunk.length > mostChunk) return undefined
    const from = roomAt - open.length
    if (chunk.buffer !== this.room.buffer) chunk.copy(this.room)
    else if (chunk.byteOffset !== this.room.byteOffset) return undefined
    open.copy(this.#memory, from)
    return this.#memory.subarray(from, roomAt + chunk.length)
  }

  /**
   * @param bytes whole lines, from `join`.
   * @returns undefined when they have to be looked at line by line: one is too long, or has a carriage return or an escape sequence.
   */
  scan(tables: ScanTables, bytes: Buffer): Scan | undefined {
    if (this.#tables !== tables) this.#memory.set(tables.bytes, place.tables)
    this.#tables = tables
    const count = this.#run(bytes.byteOffset, bytes.byteOffset + bytes.length)
    const [looks, isOdd] = this.#results as unknown as [number, number]
    return isOdd === 0 ? { count, ends: this.#ends, looks, look: this.#look } : undefined
  }
}

let shared: Scanner | null | undefined

/** The scanner of this process; undefined where there is none: then lines are found one by one. */
export function scanner(): Scanner | undefined {
  if (shared === undefined) {
    try {
      shared = new Scanner()
    } catch {
      shared = null
    }
  }
  return shared ?? undefined
}
