/** Text of a manual page in the macros of man(7). Every function gives whole lines. */

/** Text that means itself: no line of it is a request, no character an escape. */
export function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/gm, '\\&')
}

export const title = (name: string, section: number, version: string): string =>
  `.TH ${name.toUpperCase()} ${section} "" "port\\-watchdog ${version}" "port\\-watchdog"\n`

export const heading = (text: string): string => `.SH ${quoted(text.toUpperCase())}\n`

export const subheading = (text: string): string => `.SS ${quoted(text)}\n`

export const paragraph = (text: string): string => `.PP\n${escaped(text)}\n`

/** A term and what it means. */
export const item = (term: string, meaning: string): string =>
  `.TP\n\\fB${escaped(term)}\\fR\n${escaped(meaning === '' ? '(no more to say)' : meaning)}\n`

/** Lines as they are. */
export const verbatim = (lines: readonly string[]): string =>
  `.PP\n.nf\n${lines.map((line) => (line === '' ? '\n' : `${escaped(line)}\n`)).join('')}.fi\n`

function quoted(text: string): string {
  return `"${escaped(text).replaceAll('"', '\\(dq')}"`
}
