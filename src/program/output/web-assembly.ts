/**
 * A few instructions of WebAssembly (its core specification, chapter "Binary Format"), written as expressions: each function gives the bytes
 * of an instruction behind those of its operands. `scan.ts` is written in them, so that neither a compiler nor a binary file is needed.
 */
export type Code = readonly number[]

/** LEB128, without and with a sign. */
function unsigned(value: number): Code {
  const low = value & 0x7f
  const rest = value >>> 7
  return rest === 0 ? [low] : [low | 0x80, ...unsigned(rest)]
}

function signed(value: number): Code {
  const low = value & 0x7f
  const rest = value >> 7
  const isLast = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)
  return isLast ? [low] : [low | 0x80, ...signed(rest)]
}

const two = (opcode: number) => (a: Code, b: Code) => [...a, ...b, opcode]
const vector = (opcode: number) => [0xfd, ...unsigned(opcode)]
const twoVectors = (opcode: number) => (a: Code, b: Code) => [...a, ...b, ...vector(opcode)]

export const i32 = (value: number) => [0x41, ...signed(value | 0)]
export const add = two(0x6a)
export const subtract = two(0x6b)
export const multiply = two(0x6c)
export const and = two(0x71)
export const or = two(0x72)
export const shiftLeft = two(0x74)
export const shiftRight = two(0x76)
export const equal = two(0x46)
export const less = two(0x49)
export const greater = two(0x4b)
export const isZero = (a: Code) => [...a, 0x45]
export const trailingZeros = (a: Code) => [...a, 0x68]
export const loadByte = (address: Code, offset = 0) => [...address, 0x2d, 0, ...unsigned(offset)]
export const load = (address: Code, offset = 0) => [...address, 0x28, 0, ...unsigned(offset)]
export const store = (address: Code, value: Code, offset = 0) => [
  ...address,
  ...value,
  0x36,
  0,
  ...unsigned(offset),
]

/** Sixteen bytes at once. */
export const load16 = (address: Code, offset = 0) => [...address, ...vector(0), 0, ...unsigned(offset)]
export const store16 = (address: Code, value: Code) => [...address, ...value, ...vector(0x0b), 0, 0]
export const all16 = (byte: number) => [...vector(0x0c), ...Array<number>(16).fill(byte)]
export const equal16 = twoVectors(0x23)
export const different16 = twoVectors(0x24)
export const less16 = twoVectors(0x26)
export const and16 = twoVectors(0x4e)
export const or16 = twoVectors(0x50)
/** The bytes of a table of sixteen at these places. */
export const pick16 = twoVectors(0x0e)
/** Each byte, shifted to the right. */
export const shiftRight16 = (a: Code, bits: Code) => [...a, ...bits, ...vector(0x6d)]
export const any16 = (a: Code) => [...a, ...vector(0x53)]
/** The highest bit of each byte. */
export const bits16 = (a: Code) => [...a, ...vector(0x64)]

export const get = (local: number) => [0x20, ...unsigned(local)]
export const set = (local: number, value: Code) => [...value, 0x21, ...unsigned(local)]
export const when = (condition: Code, then: Code, otherwise: Code = []) => [
  ...condition,
  0x04,
  0x40,
  ...then,
  ...(otherwise.length === 0 ? [] : [0x05, ...otherwise]),
  0x0b,
]
/** A block around a loop: leaves the block when the condition does not hold. */
export const whileTrue = (condition: Code, body: Code) => [
  ...[0x02, 0x40, 0x03, 0x40],
  ...[...isZero(condition), 0x0d, 1],
  ...body,
  ...[0x0c, 0, 0x0b, 0x0b],
]

export const types = { i32: 0x7f, v128: 0x7b } as const

const sized = (code: Code) => [...unsigned(code.length), ...code]
const section = (number: number, entries: readonly Code[]) => [
  number,
  ...sized([...unsigned(entries.length), ...entries.flat()]),
]
const named = (name: string) => sized([...Buffer.from(name)])

/** A function of a module. It returns a number. */
export interface ModuleFunction {
  readonly name: string
  /** How many numbers it takes. */
  readonly parameters: number
  /** Types of its local variables, which are numbered on from the parameters. */
  readonly locals: readonly number[]
  readonly body: Code
}

/** A module with its memory, `memory`, and functions that work on it. */
export function moduleOf(functions: readonly ModuleFunction[], pages: number) {
  const numbers = (count: number) => sized(Array<number>(count).fill(types.i32))
  const declared = (locals: readonly number[]) => [
    ...unsigned(locals.length),
    ...locals.flatMap((local) => [1, local]),
  ]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      functions.map(({ parameters }) => [0x60, ...numbers(parameters), 1, types.i32]),
    ),
    ...section(
      3,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(5, [[1, ...unsigned(pages), ...unsigned(pages)]]),
    ...section(7, [
      ...functions.map(({ name }, index) => [...named(name), 0, ...unsigned(index)]),
      [...named('memory'), 2, 0],
    ]),
    ...section(
      10,
      functions.map(({ locals, body }) => sized([...declared(locals), ...body, 0x0b])),
    ),
  ])
}
