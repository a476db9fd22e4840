import { createRequire } from 'node:module'
import type StringWidth from 'string-width'

/** What a word may be painted with. */
export type Colour = keyof typeof codes

const codes = { red: 31, yellow: 33, green: 32, dim: 2, bold: 1, inverse: 7 } as const

/** A piece of a line; unpainted without a colour. */
export interface Span {
  readonly text: string
  readonly colour?: Colour | undefined
}

/** What a person reads as one line, before it is laid out. */
export type Line = readonly Span[]

/** One character as a terminal sees it, with the columns it takes (0, 1 or 2). */
interface Cell {
  readonly text: string
  readonly columns: number
  readonly colour: Colour | undefined
}

let segmenter: Intl.Segmenter | undefined

function graphemesOf(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  return segmenter.segment(text)
}

const require = createRequire(import.meta.url)

let stringWidth: typeof StringWidth | undefined

/**
 * Loaded when a text needs it: string-width's expressions for all emoji take a quarter of a whole `proxy-status`. A Node that cannot
 * require it (22.0 to 22.11) takes each character for one column.
 */
function widthOf(text: string): number {
  stringWidth ??= loadedWidth()
  return stringWidth(text)
}

function loadedWidth(): typeof StringWidth {
  try {
    return (require('string-width') as { readonly default: typeof StringWidth }).default
  } catch {
    return (text) => Array.from(graphemesOf(text)).length
  }
}

/** Columns that a text takes on a terminal: a Chinese character or an emoji takes two. */
export function columnsOf(text: string): number {
  return isPlain(text) ? text.length : widthOf(text)
}

/** Fills a text with blanks up to so many columns. */
export function pad(text: string, columns: number, side: 'left' | 'right' = 'left'): string {
  const blanks = ' '.repeat(Math.max(0, columns - columnsOf(text)))
  return side === 'left' ? `${text}${blanks}` : `${blanks}${text}`
}

/** Cuts a text to so many columns, with an ellipsis in the last one. Below 1 counts as 1. */
export function cut(text: string, width: number): string {
  return plain(cutLine([{ text }], width))
}

/** The same for a painted line. */
export function cutLine(line: Line, width: number): Line {
  const room = Math.max(1, Math.floor(width))
  // Most lines fit, and need not be taken apart for that.
  if (line.every(({ text }) => isPlain(text)) && plain(line).length <= room) return line
  const cells = cellsOf(line)
  if (total(cells) <= room) return line
  const shown = cells.slice(0, endOfCut(cells, room - 1))
  return [...spansOf(shown), { text: '…', colour: shown.at(-1)?.colour }]
}

/** How many cells fit. */
function endOfCut(cells: readonly Cell[], room: number): number {
  let used = 0
  return cells.findIndex(({ columns }) => {
    used += columns
    return used > room
  })
}

/**
 * Breaks a text into lines of at most so many columns, at blanks where it can. Ends at every width; below 1 counts as 1.
 * @param indent what the lines after the first begin with; shorter where it would take more than half of the line.
 */
export function wrap(text: string, width: number, indent = ''): string[] {
  return wrapLine([{ text }], width, indent).map(plain)
}

/** A blank at which no line is broken. */
export const noBreak = '\u00a0'

/** The same for a painted line. Blanks that do not break (`noBreak`) are blanks afterwards. */
export function wrapLine(line: Line, width: number, indent = ''): Line[] {
  const room = Math.max(1, Math.floor(width))
  // Something that takes two columns has room behind every indent.
  const half = Math.max(0, Math.min(Math.floor(room / 2), room - 2))
  const margin = cellsOf([{ text: indent.slice(0, half) }])
  const cells = cellsOf(line)
  const leading = leadingBlanks(cells)
  const lines: Line[] = []
  let from = Math.max(0, leading - half)
  let before: readonly Cell[] = cells.slice(from, leading)
  for (from = leading; from < cells.length || lines.length === 0; ) {
    const end = endOfLine(cells, from, room - before.length)
    lines.push(spansOf([...before, ...trimmedEnd(cells.slice(from, end))]))
    before = margin
    for (from = end; cells[from]?.text === ' '; ) from++
  }
  return lines
}

/** Where a line that begins there ends: at its last blank in reach, else where it is full; at least one cell further. */
function endOfLine(cells: readonly Cell[], from: number, room: number): number {
  let used = 0
  let blank = -1
  for (let i = from; i < cells.length; i++) {
    const { text = '', columns = 0 } = cells[i] ?? {}
    if (text === ' ') blank = i
    used += columns
    if (used > room) return blank > from ? blank : Math.max(from + 1, i)
  }
  return cells.length
}

function leadingBlanks(cells: readonly Cell[]): number {
  const first = cells.findIndex(({ text }) => text !== ' ')
  return Math.max(0, first)
}

function trimmedEnd(cells: readonly Cell[]): Cell[] {
  const last = cells.findLastIndex(({ text }) => text !== ' ')
  return cells.slice(0, last + 1)
}

/** So many lines at most; an ellipsis says where some are missing. */
export function shortenedTo(count: number, lines: readonly Line[], width: number): Line[] {
  const last = lines[count - 1]
  if (lines.length <= count || last === undefined) return [...lines]
  return [...lines.slice(0, count - 1), cutLine([...last, { text: ' …' }], width)]
}

function cellsOf(line: Line): Cell[] {
  return line.flatMap(({ text, colour }) =>
    isPlain(text)
      ? Array.from(text, (one) => ({ text: one, columns: 1, colour }))
      : Array.from(graphemesOf(text), ({ segment }) => ({
          text: segment,
          columns: segment === noBreak ? 1 : columnsOf(segment),
          colour,
        })),
  )
}

/** Neighbours of one colour in one span: fewer escape sequences. */
function spansOf(cells: readonly Cell[]): Line {
  const spans: { text: string; colour: Colour | undefined }[] = []
  for (const { text, colour } of cells) {
    const last = spans.at(-1)
    const shown = text === noBreak ? ' ' : text
    if (last !== undefined && last.colour === colour) last.text += shown
    else spans.push({ text: shown, colour })
  }
  return spans
}

function total(cells: readonly Cell[]): number {
  return cells.reduce((sum, { columns }) => sum + columns, 0)
}

/** Whether each code unit is a character of one column: ASCII, and the signs that reports are made with. */
function isPlain(text: string): boolean {
  return /^[\x20-\x7e\u00a0✓✗●•»·…–—×→›’▇▄▁░␛]*$/.test(text)
}

/** A line without its colours. */
export function plain(line: Line): string {
  return line.map(({ text }) => text).join('')
}

/** A line as it is written to a terminal; `colour` false leaves the colours out. */
export function painted(line: Line, colour: boolean): string {
  if (!colour) return plain(line)
  return line
    .map((span) =>
      span.colour === undefined ? span.text : `\u001b[${codes[span.colour]}m${span.text}\u001b[0m`,
    )
    .join('')
}

const inAscii: Readonly<Record<string, string>> = {
  '✓': '+',
  '✗': 'x',
  '●': '*',
  '•': '-',
  '·': '|',
  '…': '~',
  '–': '-',
  '×': 'x',
  '→': '>',
  '›': '>',
  '▇': '#',
  '▄': '=',
  '▁': '_',
  '␛': '?',
}

/** A text for a terminal that shows no more than ASCII. As long as it was: columns stay in line. */
export function asciiOnly(text: string): string {
  return text.replaceAll(/\P{ASCII}/gu, (character) => inAscii[character] ?? '?')
}
