import type { z as Zod } from 'zod'

/** What the schemas are made with; not all of zod, so that a bundle can leave the rest out. */
export type ZodParts = Pick<
  typeof Zod,
  'array' | 'boolean' | 'literal' | 'number' | 'object' | 'record' | 'string' | 'union'
>

/** What `decode` gives for a value of another kind. */
export const invalid: unique symbol = Symbol('invalid')

/** A kind of value: how it is decoded, and the zod schema that decodes it likewise. */
export interface Kind<T> {
  readonly decode: (value: unknown) => T | typeof invalid
  readonly zod: (z: ZodParts) => Zod.ZodType<T>
}

/** A field that may be missing. */
interface OptionalKind<T> extends Kind<T> {
  readonly isOptional: true
}

/** A type of which nothing is readonly. */
export type Written<T> = T extends readonly (infer Item)[]
  ? Written<Item>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Written<T[Key]> }
    : T

type TypeOf<K> = K extends Kind<infer T> ? T : never

type Fields = Readonly<Record<string, Kind<unknown>>>

type OptionalKeys<F extends Fields> = {
  [Key in keyof F]: F[Key] extends { readonly isOptional: true } ? Key : never
}[keyof F]

type ObjectOf<F extends Fields> = Flat<
  { [Key in Exclude<keyof F, OptionalKeys<F>>]: TypeOf<F[Key]> } & {
    [Key in OptionalKeys<F>]?: TypeOf<F[Key]>
  }
>

type Flat<T> = { [Key in keyof T]: T[Key] }

export const text: Kind<string> = {
  decode: (value) => (typeof value === 'string' ? value : invalid),
  zod: (z) => z.string(),
}

export const number: Kind<number> = {
  decode: (value) => (typeof value === 'number' && Number.isFinite(value) ? value : invalid),
  zod: (z) => z.number(),
}

export const flag: Kind<boolean> = {
  decode: (value) => (typeof value === 'boolean' ? value : invalid),
  zod: (z) => z.boolean(),
}

/** A time that Date reads. */
export const instant: Kind<string> = {
  decode: (value) => (typeof value === 'string' && !Number.isNaN(Date.parse(value)) ? value : invalid),
  zod: (z) => z.string().refine((value) => !Number.isNaN(Date.parse(value))),
}

/** This value, or one of these. */
export function exactly<const T extends string | number>(...values: readonly T[]): Kind<T> {
  return {
    decode: (value) => values.find((one) => one === value) ?? invalid,
    zod: (z) => z.literal(values) as unknown as Zod.ZodType<T>,
  }
}

/** One of these words; a word of a version to come is read as `otherwise`. */
export function oneOf<const Word extends string, const Otherwise extends Word | null>(
  words: readonly Word[],
  otherwise: Otherwise,
): Kind<Word | Otherwise> {
  const known = new Set<string>(words)
  const wordOf = (value: string) => (known.has(value) ? (value as Word) : otherwise)
  return {
    decode: (value) => (typeof value === 'string' ? wordOf(value) : invalid),
    zod: (z) => z.string().transform(wordOf) as unknown as Zod.ZodType<Word | Otherwise>,
  }
}

export function nullable<T>({ decode, zod }: Kind<T>): Kind<T | null> {
  return {
    decode: (value) => (value === null ? null : decode(value)),
    zod: (z) => zod(z).nullable(),
  }
}

/** A field that may be missing, and then is. */
export function optional<T>({ decode, zod }: Kind<T>): OptionalKind<T> {
  return { decode, zod: (z) => zod(z).exactOptional() as unknown as Zod.ZodType<T>, isOptional: true }
}

/** A field that has this value when it is missing, because the process that wrote it is of a version without it. */
export function or<T>({ decode, zod }: Kind<T>, missing: () => T): Kind<T> {
  return {
    decode: (value) => (value === undefined ? missing() : decode(value)),
    zod: (z) => zod(z).default(missing as () => never) as unknown as Zod.ZodType<T>,
  }
}

/** A field that may be null, and is when it is missing. */
export function orNull<T>(kind: Kind<T>): Kind<T | null> {
  return or(nullable(kind), () => null)
}

/** A field that is null when what stands there is of another kind. */
export function lenient<T>({ decode, zod }: Kind<T>): Kind<T | null> {
  return {
    decode: (value) => {
      const found = decode(value)
      return found === invalid ? null : found
    },
    zod: (z) => zod(z).nullable().catch(null) as unknown as Zod.ZodType<T | null>,
  }
}

export function list<T>(item: Kind<T>): Kind<T[]> {
  return {
    decode: (value) => {
      if (!Array.isArray(value)) return invalid
      const items: T[] = []
      for (const one of value) {
        const found = item.decode(one)
        if (found === invalid) return invalid
        items.push(found)
      }
      return items
    },
    zod: (z) => z.array(item.zod(z)),
  }
}

/** Any number of fields of one kind. */
export function fieldsOf<T>(item: Kind<T>): Kind<Record<string, T>> {
  return {
    decode: (value) => {
      if (!isObject(value)) return invalid
      const fields: [string, T][] = []
      for (const [key, one] of Object.entries(value)) {
        const found = item.decode(one)
        if (found === invalid) return invalid
        // Assigned, it would be the prototype.
        if (key !== '__proto__') fields.push([key, found])
      }
      return Object.fromEntries(fields)
    },
    zod: (z) => z.record(z.string(), item.zod(z)),
  }
}

/** These fields; others are left out. */
export function object<const F extends Fields>(fields: F): Kind<ObjectOf<F>> & { readonly fields: F } {
  const entries = Object.entries<Kind<unknown>>(fields)
  return {
    fields,
    decode: (value) => {
      if (!isObject(value)) return invalid
      const whole: Record<string, unknown> = {}
      for (const [key, kind] of entries) {
        const given = Object.hasOwn(value, key) ? value[key] : undefined
        if (given === undefined && 'isOptional' in kind) continue
        const found = kind.decode(given)
        if (found === invalid) return invalid
        whole[key] = found
      }
      return whole as ObjectOf<F>
    },
    zod: (z) =>
      z.object(
        Object.fromEntries(entries.map(([key, kind]) => [key, kind.zod(z)])),
      ) as unknown as Zod.ZodType<ObjectOf<F>>,
  }
}

type Tagged<Tag extends string> = Kind<unknown> & { readonly fields: Readonly<Record<Tag, Kind<string>>> }

/** One of these objects, by the word in one of their fields. */
export function taggedBy<const Tag extends string, const Options extends readonly Tagged<Tag>[]>(
  tag: Tag,
  ...options: Options
): Kind<TypeOf<Options[number]>> {
  type Either = TypeOf<Options[number]>
  return {
    decode: (value) => {
      if (!isObject(value)) return invalid
      const option = options.find(({ fields }) => fields[tag].decode(value[tag]) !== invalid)
      return option === undefined ? invalid : (option.decode(value) as Either)
    },
    zod: (z) => z.union(options.map(({ zod }) => zod(z))) as unknown as Zod.ZodType<Either>,
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
