/**
 * Characters that a terminal or a viewer acts on instead of showing them: C0 and C1 controls (ESC among them), the marks that turn the
 * direction of writing (U+061C, U+200E, U+200F, U+202A-202E, U+2066-2069), which can make a text read as another one, and the line and
 * paragraph separators (U+2028, U+2029), at which some viewers begin a new line. Newlines are not among them.
 */
const acting =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that are looked for.
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/**
 * Text that may have come from anywhere, made safe for a terminal: what could hide or rewrite what stands there is shown harmlessly, by
 * its picture (␛) or its number (U+202E). Newlines stay.
 */
export function printable(text: string): string {
  return text.replaceAll(acting, (character) => {
    const code = character.charCodeAt(0)
    if (code === 9) return ' '
    if (code < 0x20) return String.fromCharCode(0x2400 + code)
    if (code === 0x7f) return '␡'
    return code < 0xa0 ? '�' : `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`
  })
}

/** The same on one line: what others have named, such as the title of a process, must not look like a line of ours. */
export function oneLine(text: string): string {
  return printable(text).replaceAll('\n', '␊')
}
