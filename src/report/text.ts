/**
 * Text that may have come from anywhere, made safe for a terminal: control characters, which could hide or rewrite what stands there, are
 * shown by their pictures (␛). Newlines stay.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that are looked for.
  return text.replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, (character) => {
    const code = character.charCodeAt(0)
    if (code === 9) return ' '
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '␡' : '�'
  })
}

/** Cuts a text to so many columns, with an ellipsis in the last one. */
export function cut(text: string, width: number): string {
  const characters = [...text]
  return characters.length > width ? `${characters.slice(0, Math.max(0, width - 1)).join('')}…` : text
}

/**
 * Breaks a text into lines of at most so many columns, at blanks where it can.
 * @param indent what the lines after the first begin with.
 */
export function wrap(text: string, width: number, indent = ''): string[] {
  const lines: string[] = []
  let rest = [...text]
  while (rest.length > width) {
    const blank = rest.slice(0, width + 1).lastIndexOf(' ')
    const end = blank > indent.length ? blank : width
    lines.push(rest.slice(0, end).join('').trimEnd())
    rest = [...indent, ...rest.slice(end).join('').trimStart()]
  }
  return [...lines, rest.join('')]
}
