import { columnsOf } from '../../src/report/text.ts'

export type Theme = 'light' | 'dark'

export interface Screen {
  /** What was typed. */
  readonly command: string
  /** What was printed, with the escapes of its colours. */
  readonly output: string
  readonly columns: number
}

const column = 8.4
const row = 20
const margin = 20
const bar = 36

const colours: Readonly<Record<Theme, Readonly<Record<string, string>>>> = {
  light: {
    background: '#ffffff',
    border: '#d0d7de',
    text: '#1f2328',
    dots: '#d0d7de',
    bold: '#1f2328',
    dim: '#656d76',
    red: '#cf222e',
    green: '#1a7f37',
    yellow: '#9a6700',
  },
  dark: {
    background: '#0d1117',
    border: '#30363d',
    text: '#e6edf3',
    dots: '#30363d',
    bold: '#e6edf3',
    dim: '#8b949e',
    red: '#ff7b72',
    green: '#3fb950',
    yellow: '#d29922',
  },
}

const names: Readonly<Record<string, string>> = { 1: 'bold', 2: 'dim', 31: 'red', 32: 'green', 33: 'yellow' }

/** A picture of a terminal window in which a command was typed. Every piece of text has its place and width, whatever the font. */
export function terminalSvg({ command, output, columns }: Screen, theme: Theme): string {
  const colour = colours[theme]
  const lines = [`\u001b[2m$\u001b[0m ${command}`, ...output.trimEnd().split('\n')]
  const width = Math.round(columns * column + 2 * margin)
  const height = bar + lines.length * row + margin
  const dots = [0, 1, 2].map((i) => `<circle cx="${margin + i * 18}" cy="18" r="6" fill="${colour.dots}"/>`)
  const rows = lines.map((line, i) => rowSvg(line, bar + (i + 1) * row - 6, colour))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(command)}</title>`,
    `<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" fill="${colour.background}" stroke="${colour.border}"/>`,
    dots.join(''),
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" fill="${colour.text}" xml:space="preserve">`,
    ...rows,
    '</g></svg>\n',
  ].join('\n')
}

function rowSvg(line: string, y: number, colour: Readonly<Record<string, string>>): string {
  let at = 0
  let style = ''
  const parts: string[] = []
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one.
  for (const [, code, text = ''] of line.matchAll(/\u001b\[(\d+)m|([^\u001b]+)/g)) {
    if (code !== undefined) style = names[code] ?? ''
    // Blanks at an end, and several together, are only a distance.
    for (const piece of text.match(/ +|[^ ]+(?: [^ ]+)*/g) ?? []) {
      const columns = columnsOf(piece)
      if (piece.trim() !== '') parts.push(textSvg(piece, at, columns, y, style, colour))
      at += columns
    }
  }
  return parts.join('')
}

function textSvg(
  text: string,
  at: number,
  columns: number,
  y: number,
  style: string,
  colour: Readonly<Record<string, string>>,
): string {
  const look = style === '' ? '' : ` fill="${colour[style]}"${style === 'bold' ? ' font-weight="bold"' : ''}`
  const x = (margin + at * column).toFixed(1)
  const length = (columns * column).toFixed(1)
  return `<text x="${x}" y="${y}" textLength="${length}" lengthAdjust="spacingAndGlyphs"${look}>${escaped(text)}</text>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
