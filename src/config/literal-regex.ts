/** Expressions that are nothing but texts: they need no engine. */

const special = new Set('\\^$.*+?()[]{}|')

/** The alternatives of an expression that is nothing but those: `WARNING|WARN`. Undefined = it is more. */
export function literalAlternatives(regex: string): readonly string[] | undefined {
  const alternatives: string[] = []
  let text = ''
  for (let at = 0; at < regex.length; at++) {
    const character = regex.charAt(at)
    if (character === '|') {
      alternatives.push(text)
      text = ''
    } else if (character === '\\') {
      const escaped = regex.charAt(++at)
      if (!isEscapedLiteral(escaped)) return undefined
      text += escaped
    } else if (special.has(character)) return undefined
    else text += character
  }
  alternatives.push(text)
  return alternatives.every((one) => one !== '') ? alternatives : undefined
}

/** The expression of which these are the alternatives. */
export function anyOf(...texts: readonly string[]): string {
  return texts.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|')
}

/** @param character what follows a backslash. */
export function isEscapedLiteral(character: string): boolean {
  return character !== '' && !/[a-zA-Z0-9]/.test(character)
}
