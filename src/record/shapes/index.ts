/**
 * shapes/: the shapes that processes share: what one of them writes to a file or answers on its control socket, and another one reads, perhaps of
 * another version. A file for each: an interface for people, and beside it the shape, by which a value from outside is read.
 *
 * A value goes through `read` where it comes in: from a file, from a control socket. From there on it is what its type says.
 *
 * To add a shape, write its interface and its shape (`kinds.ts` has the parts); the compiler refuses a shape that differs from its interface.
 * To add a field to a shape, give it a default (`or`) or make it `optional`, because a process of the version before does not write it. To
 * add a word to an enumeration, think of the version before, which reads it as the word that `oneOf` names as the other one.
 *
 * `zod(z)` gives the same as a zod schema, for who describes a shape to others. Reading is done without zod: loading that takes 50 ms and
 * 11 MB, more than everything else that proxy-status loads, and a forwarder reads these files, too. A property test keeps both the same.
 */
import { invalid, type Kind, type Written } from './kinds.ts'

export interface Shape<T> extends Kind<Written<T>> {
  /** The value, with its defaults and without what the shape does not know; undefined when it has another shape. */
  readonly read: (value: unknown) => T | undefined
}

/** The kind must be able to give whatever the interface has, and nothing else. */
type SameAs<T, Given> = [Written<T>] extends [Given]
  ? [Given] extends [Written<T>]
    ? unknown
    : never
  : never

/** Call it as `shapeOf<Interface>()(kind)`. */
export function shapeOf<T>() {
  return <Given>(kind: Kind<Given> & SameAs<T, Given>): Shape<T> => {
    const { decode, zod } = kind as unknown as Kind<Written<T>>
    const read = (value: unknown) => {
      const found = decode(value)
      return found === invalid ? undefined : (found as T)
    }
    return { decode, zod, read }
  }
}
