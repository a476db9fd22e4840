import type { ForwardLine } from '../render-table.ts'
import { cutLine, type Line, painted, plain } from '../text.ts'

/** What a person may press, apart from the keys of the keyboard. */
export type Press =
  | 'up'
  | 'down'
  | 'page-up'
  | 'page-down'
  | 'first'
  | 'last'
  | 'open'
  | 'back'
  | 'log'
  | 'why'
  | 'history'
  | 'quit'

/** `list`: all forwards. The others are about the forward below the cursor, or about all where there is none. */
export type PageName = 'list' | 'forward' | 'log' | 'why' | 'history'

/** What is on the screen. */
export interface View {
  readonly page: PageName
  /** Name of the forward that is chosen; undefined while there is none. */
  readonly cursor: string | undefined
  /** Lines of the page that are scrolled away above. */
  readonly offset: number
}

export const firstView: View = { page: 'list', cursor: undefined, offset: 0 }

/** What the page looks like just now. */
export interface Page {
  readonly lines: readonly ForwardLine[]
  /** Rows of the terminal, the line with the keys among them. */
  readonly rows: number
}

/** The view after a key. Pure; `quit` is for the caller. */
export function press(view: View, key: Press, page: Page): View {
  const room = roomOf(page)
  const scrolled = (by: number) => ({ ...view, offset: bounded(view.offset + by, page) })
  switch (key) {
    case 'up':
      return view.page === 'list' ? moved(view, -1, page) : scrolled(-1)
    case 'down':
      return view.page === 'list' ? moved(view, 1, page) : scrolled(1)
    case 'page-up':
      return scrolled(-room)
    case 'page-down':
      return scrolled(room)
    case 'first':
      return scrolled(-page.lines.length)
    case 'last':
      return scrolled(page.lines.length)
    case 'open':
      return view.page === 'list' && view.cursor !== undefined
        ? { ...view, page: 'forward', offset: 0 }
        : view
    case 'back':
      return { ...view, page: 'list', offset: 0 }
    case 'log':
    case 'why':
    case 'history':
      return { ...view, page: key, offset: 0 }
    case 'quit':
      return view
  }
}

/** The view after another look: the cursor stays on its forward, and on the screen. */
export function settled(view: View, page: Page): View {
  if (view.page !== 'list') return { ...view, offset: bounded(view.offset, page) }
  const names = forwardsOf(page)
  const cursor = view.cursor !== undefined && names.includes(view.cursor) ? view.cursor : names[0]
  return { ...view, cursor, offset: bounded(view.offset, page) }
}

function moved(view: View, by: number, page: Page): View {
  const names = forwardsOf(page)
  const at = view.cursor === undefined ? -1 : names.indexOf(view.cursor)
  const cursor = names[Math.max(0, Math.min(names.length - 1, at + by))]
  const row = page.lines.findIndex(({ forward }) => forward !== undefined && forward === cursor)
  const room = roomOf(page)
  // The row and the line below it, which says why.
  const lowest = Math.max(view.offset, row + 2 - room)
  // At the first forward what stands above it is wanted, too.
  const offset = cursor === names[0] ? 0 : Math.min(lowest, Math.max(0, row))
  return { ...view, cursor, offset: bounded(offset, page) }
}

function forwardsOf({ lines }: Page): string[] {
  return lines.flatMap(({ forward }) => forward ?? [])
}

function roomOf({ rows }: Page): number {
  return Math.max(1, rows - 1)
}

function bounded(offset: number, page: Page): number {
  return Math.max(0, Math.min(offset, page.lines.length - roomOf(page)))
}

export interface PictureOptions {
  readonly width: number
  readonly colour: boolean
  /** The line at the bottom. */
  readonly keys: string
}

/** The rows of the screen, from the top, as they are written. */
export function picture(view: View, page: Page, { width, colour, keys }: PictureOptions): string[] {
  const room = roomOf(page)
  const shown = page.lines.slice(view.offset, view.offset + room).map(({ line, forward }) => {
    const isChosen = view.page === 'list' && forward !== undefined && forward === view.cursor
    return painted(cutLine(isChosen ? chosen(line, colour) : line, width), colour)
  })
  const rest = Array.from({ length: room - shown.length }, () => '')
  const below = page.lines.length - view.offset - room
  const more = below > 0 ? `${below} more lines below · ` : ''
  return [...shown, ...rest, painted(cutLine([{ text: `${more}${keys}`, colour: 'dim' }], width), colour)]
}

/** Without colours the cursor is a character. */
function chosen(line: Line, colour: boolean): Line {
  const text = plain(line)
  return colour ? [{ text, colour: 'inverse' }] : [{ text: `›${text.slice(1)}` }]
}

/** One write that paints the screen: every row cleared to its end as it is written, so that nothing flickers and nothing is left. */
export function frame(rows: readonly string[]): string {
  return `\u001b[H${rows.map((row) => `${row}\u001b[K`).join('\r\n')}\u001b[J`
}
