import type { RenderOptions } from './render.ts'

/** Columns of a report that is not printed on a terminal, or on one that does not say how wide it is. */
const unknownWidth = 200

/** The properties of a stream that decide how to write on it. */
export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number | undefined
  readonly rows?: number | undefined
}

/**
 * Columns to fill. 0 counts as unknown: terminals without a known size (docker exec, ssh -tt, CI) and pipes report it.
 */
export function widthOf({ columns }: Output): number {
  return columns || unknownWidth
}

/** Rows of a terminal; undefined when unknown. */
export function rowsOf({ rows }: Output): number | undefined {
  return rows || undefined
}

/** Colour only where the reader wants it: a terminal, and NO_COLOR (no-color.org) unset or empty. */
export function wantsColour(stream: Output, environment: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== 'dumb'
}

/** Whether more than ASCII can be shown: by the locale, as programs written in C decide; without one, it is taken for UTF-8. */
export function showsUnicode({ LC_ALL, LC_CTYPE, LANG }: NodeJS.ProcessEnv): boolean {
  const locale = LC_ALL || LC_CTYPE || LANG
  return locale === undefined || locale === '' || /utf-?8/i.test(locale)
}

/** How a report is printed on a stream. */
export function looksOf(stream: Output, environment: NodeJS.ProcessEnv): RenderOptions {
  return {
    colour: wantsColour(stream, environment),
    width: widthOf(stream),
    unicode: showsUnicode(environment),
  }
}
