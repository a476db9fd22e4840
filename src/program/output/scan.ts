import { maxLineBytes } from './line.ts'
import * as wasm from './web-assembly.ts'

/** What one look at the bytes of whole lines has found. Valid until the next scan. */
export interface Scan {
  readonly count: number
  /** Places of the line ends. */
  readonly ends: Uint32Array
  /** The lines without their colours: the same ones where they have none. */
  readonly plain: { readonly bytes: Buffer; readonly ends: Uint32Array }
  /** How many lines have to be looked at by themselves, to give them classes. The first always has. */
  readonly looks: number
  /** For each of those two numbers: its place among the lines, and where in the plain bytes a word may stand first; `noPlace` = nowhere. */
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
const plainAt = roomAt + mostChunk + 64
const pages = Math.ceil((plainAt + mostBytes + 64) / 65_536)

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
  ...['bytes', 'agreed', 'returns', 'escapes'],
] as const

/** Local variables that hold sixteen bytes. */
const vectors = ['bytes', 'agreed', 'returns', 'escapes', 'odd']

/** What code says of the variables of one function. */
function variables<const Name extends string>(all: readonly Name[], parameters: number) {
  const get = (name: Name) => wasm.get(all.indexOf(name))
  const set = (name: Name, value: wasm.Code) => wasm.set(all.indexOf(name), value)
  const addTo = (name: Name, count: number) => set(name, wasm.add(get(name), wasm.i32(count)))
  const typeOf = (name: Name) => (vectors.includes(name) ? wasm.types.v128 : wasm.types.i32)
  return { get, set, addTo, parameters, locals: all.slice(parameters).map(typeOf) }
}

/** Those of sixteen places that lie before the end, as a mask: what stands after it is of no scan. */
function beforeEnd(bits: wasm.Code, left: wasm.Code): wasm.Code {
  return wasm.and(bits, wasm.subtract(wasm.shiftLeft(wasm.i32(1), left), wasm.i32(1)))
}

/** The scan itself: sixteen bytes a turn, and of those only line ends and where a word may begin one by one. */
function scanFunction(): wasm.ModuleFunction {
  const { add, and, i32, load, load16, store, when } = wasm
  const { get, set, addTo, ...taken } = variables(names, 2)
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
    ...set('returns', wasm.or16(get('returns'), wasm.equal16(get('bytes'), wasm.all16(carriageReturn)))),
    ...set('escapes', wasm.or16(get('escapes'), wasm.equal16(get('bytes'), wasm.all16(ansiEscape)))),
    ...set('agreed', wasm.and16(mayStand(0), mayStand(1))),
    ...set('agreed', wasm.and16(get('agreed'), wasm.and16(mayStand(2), mayStand(3)))),
    ...set('endBits', wasm.bits16(wasm.equal16(get('bytes'), wasm.all16(lineEnd)))),
    ...set('bits', wasm.or(get('endBits'), wasm.bits16(wasm.different16(get('agreed'), wasm.all16(0))))),
    ...when(
      wasm.less(wasm.subtract(get('end'), get('at')), i32(16)),
      set('bits', beforeEnd(get('bits'), wasm.subtract(get('end'), get('at')))),
    ),
    ...wasm.whileTrue(get('bits'), [
      ...set('found', add(get('at'), wasm.trailingZeros(get('bits')))),
      ...when(and(get('endBits'), lowest), atLineEnd, atWord),
      ...set('bits', and(get('bits'), wasm.subtract(get('bits'), i32(1)))),
    ]),
    ...addTo('at', 16),
  ]
  const body = [
    ...set('at', get('text')),
    ...set('begin', get('text')),
    ...lookAt(i32(noPlace)),
    ...wasm.whileTrue(wasm.less(get('at'), get('end')), turn),
    ...store(i32(0), get('looks'), place.results),
    ...store(i32(0), wasm.or(get('isLong'), wasm.any16(get('returns'))), place.results + 4),
    ...store(i32(0), wasm.any16(get('escapes')), place.results + 8),
    ...get('lines'),
  ]
  return { name: 'scan', ...taken, body }
}

/** First byte of the controls of C1 in UTF-8, and the byte after the last of their second ones: some begin a sequence, too. */
const controlsFirst = 0xc2
const controlsEnd = 0xa0

/**
 * Copies lines without what colours them: `ESC [`, parameters, a final byte (ECMA-48, 5.4), as `plainText` takes it out. It returns how many
 * bytes are left; 0 = there are other sequences, or something that is none.
 */
function stripFunction(): wasm.ModuleFunction {
  const { add, and, equal, i32, less, loadByte, subtract, when } = wasm
  const { get, set, addTo, ...taken } = variables(
    ['at', 'end', 'start', 'to', 'bits', 'isOther', 'bytes', 'odd'],
    3,
  )
  const controls = wasm.and16(
    wasm.equal16(get('bytes'), wasm.all16(controlsFirst)),
    wasm.less16(wasm.load16(get('at'), 1), wasm.all16(controlsEnd)),
  )
  const giveUp = [...set('isOther', i32(1)), ...set('at', get('end'))]
  const passSequence = when(
    equal(loadByte(get('at'), 1), i32(0x5b)),
    [
      ...addTo('at', 2),
      ...wasm.whileTrue(equal(and(loadByte(get('at')), i32(0xf0)), i32(0x30)), addTo('at', 1)),
      ...when(less(subtract(loadByte(get('at')), i32(0x40)), i32(0x3f)), addTo('at', 1), giveUp),
    ],
    giveUp,
  )
  const turn = [
    ...set('bytes', wasm.load16(get('at'))),
    ...wasm.store16(get('to'), get('bytes')),
    ...set('odd', wasm.or16(get('odd'), controls)),
    ...set('bits', wasm.bits16(wasm.equal16(get('bytes'), wasm.all16(ansiEscape)))),
    ...when(
      less(subtract(get('end'), get('at')), i32(16)),
      set('bits', beforeEnd(get('bits'), subtract(get('end'), get('at')))),
    ),
    ...when(
      get('bits'),
      [
        ...set('at', add(get('at'), wasm.trailingZeros(get('bits')))),
        ...set('to', add(get('to'), wasm.trailingZeros(get('bits')))),
        ...passSequence,
      ],
      [...addTo('at', 16), ...addTo('to', 16)],
    ),
  ]
  const body = [
    ...set('to', get('start')),
    ...wasm.whileTrue(less(get('at'), get('end')), turn),
    // The last sixteen bytes reach over the end.
    ...set('to', subtract(subtract(get('to'), get('start')), subtract(get('at'), get('end')))),
    ...wasm.multiply(get('to'), wasm.isZero(wasm.or(get('isOther'), wasm.any16(get('odd'))))),
  ]
  return { name: 'strip', ...taken, body }
}

/** What is used of it: the types of Node 20 have no more than its name. */
interface WebAssemblyParts {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer }
      readonly scan: (text: number, end: number) => number
      readonly strip: (text: number, end: number, to: number) => number
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
  readonly #scan: (text: number, end: number) => number
  readonly #strip: (text: number, end: number, to: number) => number
  /** Line ends of a chunk with colours, while it is looked at without. */
  #colouredEnds = new Uint32Array(1024)
  #tables: ScanTables | undefined

  /** @throws where WebAssembly, or so much address space for it, is not to be had. */
  constructor() {
    const { Instance, Module } = (globalThis as unknown as { readonly WebAssembly: WebAssemblyParts })
      .WebAssembly
    const module = new Module(wasm.moduleOf([scanFunction(), stripFunction()], pages))
    const { memory, scan, strip } = new Instance(module).exports
    const { buffer } = memory
    this.#scan = scan
    this.#strip = strip
    this.#memory = Buffer.from(buffer)
    this.#results = new Uint32Array(buffer, place.results, 3)
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
   * @returns undefined when they have to be looked at line by line: one is too long, or has a carriage return or an escape sequence that does
   *   more than colour.
   */
  scan(tables: ScanTables, bytes: Buffer): Scan | undefined {
    if (this.#tables !== tables) this.#memory.set(tables.bytes, place.tables)
    this.#tables = tables
    const end = bytes.byteOffset + bytes.length
    const count = this.#scan(bytes.byteOffset, end)
    const [looks, isOdd, isColoured] = this.#results as unknown as [number, number, number]
    if (isOdd !== 0) return undefined
    const ends = this.#ends
    if (isColoured === 0) return { count, ends, plain: { bytes, ends }, looks, look: this.#look }
    const length = this.#strip(bytes.byteOffset, end, plainAt)
    return length === 0 ? undefined : this.#scanPlain(count, length)
  }

  /** Words may stand on both sides of a colour: they are looked for in what is left without it. */
  #scanPlain(count: number, length: number): Scan {
    if (this.#colouredEnds.length < count) this.#colouredEnds = new Uint32Array(2 * count)
    const ends = this.#colouredEnds
    ends.set(this.#ends.subarray(0, count))
    this.#scan(plainAt, plainAt + length)
    const plain = { bytes: this.#memory.subarray(plainAt, plainAt + length), ends: this.#ends }
    return { count, ends, plain, looks: this.#results[0] as number, look: this.#look }
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
