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
