/**
 * screen/: what `proxy-status --watch` shows on a terminal. A key or a look makes another view (view.ts, pure), which is painted in one
 * write; terminal.ts gives the terminal back however this ends. A new page is a name in view.ts, a key in terminal.ts and its lines in
 * pages.ts.
 */
import type { ReadStream } from 'node:tty'
import { localTime } from '../../log/entry.ts'
import { monotonicMs } from '../../os/clock.ts'
import { preciseDuration } from '../../os/duration.ts'
import { errorText } from '../../os/failure.ts'
import type { StatusReport } from '../../record/shapes/status-report.ts'
import { statusLines } from '../render.ts'
import type { ForwardLine } from '../render-table.ts'
import { rowsOf, widthOf } from '../terminal.ts'
import { asciiOnly, type Line, wrapLine } from '../text.ts'
import { type Terminal, TerminalScreen } from './terminal.ts'
import { firstView, frame, type PageName, type Press, picture, press, settled, type View } from './view.ts'

/** Where the pages come from. */
export interface WatchSources {
  readonly look: () => Promise<StatusReport>
  /** The lines of a page about one forward, or about all where none is chosen. */
  readonly pages: (
    page: Exclude<PageName, 'list'>,
    forward: string | undefined,
    width: number,
  ) => Promise<readonly Line[]>
}

export interface WatchScreenOptions {
  readonly intervalMs: number
  readonly signal: AbortSignal
  readonly colour: boolean
  readonly unicode: boolean
  readonly output: Terminal
  readonly input: ReadStream
}

/** Rows of a terminal that does not say how many it has. */
const unknownRows = 24

/** Keys that are kept for a page that is not there yet. */
const mostEarly = 100

/** Until the first report, or a page, is there. */
const looking: readonly ForwardLine[] = [{ line: [{ text: 'looking …', colour: 'dim' }] }]

/**
 * Shows the forwards on a terminal until the signal comes or the user quits.
 * @returns the last report; undefined when there was none.
 */
export async function watchOnScreen(
  sources: WatchSources,
  options: WatchScreenOptions,
): Promise<StatusReport | undefined> {
  const watch = new ScreenWatch(sources, options)
  return watch.run()
}

class ScreenWatch {
  readonly #sources: WatchSources
  readonly #options: WatchScreenOptions
  readonly #screen: TerminalScreen
  #view: View = firstView
  #report: StatusReport | undefined
  #lines: readonly ForwardLine[] = looking
  /** Of the list, which is there again at once. */
  #list: readonly ForwardLine[] = looking
  /** The lines are those of the page, not of the one before. */
  #isLaidOut = false
  /** Keys that came before the page that they are for. */
  #early: Press[] = []
  #isOver = false
  /** Ends the wait for the next look. */
  #wake: () => void = () => {}

  constructor(sources: WatchSources, options: WatchScreenOptions) {
    this.#sources = sources
    this.#options = options
    this.#screen = new TerminalScreen(options.output, options.input, {
      pressed: (key) => this.#press(key),
      resized: () => this.#wake(),
    })
  }

  async run(): Promise<StatusReport | undefined> {
    const { signal, intervalMs } = this.#options
    const end = () => this.#end()
    if (signal.aborted) return undefined
    signal.addEventListener('abort', end)
    this.#screen.open()
    try {
      this.#paint()
      let nextLookAt = 0
      while (!this.#isOver) {
        if (monotonicMs() >= nextLookAt) {
          this.#report = await this.#sources.look()
          nextLookAt = monotonicMs() + intervalMs
        }
        await this.#refresh()
        if (!this.#isOver) await this.#pause(nextLookAt - monotonicMs())
      }
    } finally {
      signal.removeEventListener('abort', end)
      this.#screen.close()
    }
    return this.#report
  }

  #end(): void {
    this.#isOver = true
    this.#wake()
  }

  #press(key: Press): void {
    if (key === 'quit') return this.#end()
    // Nobody waits for a page that he has left.
    if (key === 'back') this.#early = []
    else if (!this.#isLaidOut) return void (this.#early.length < mostEarly && this.#early.push(key))
    const before = this.#view
    this.#view = press(before, key, this.#page())
    if (before.page !== this.#view.page) {
      this.#isLaidOut = this.#view.page === 'list' && this.#report !== undefined
      this.#lines = this.#isLaidOut ? this.#list : looking
      this.#wake()
    }
    this.#paint()
  }

  /** Lays the page out anew. A key that comes meanwhile counts: what was laid out for another page is not shown. */
  async #refresh(): Promise<void> {
    const { page, cursor } = this.#view
    const lines = await this.#linesOf(page, cursor)
    if (page !== this.#view.page) return this.#refresh()
    this.#lines = lines
    if (page === 'list') this.#list = lines
    this.#isLaidOut = true
    this.#view = settled(this.#view, this.#page())
    this.#paint()
    for (const key of this.#early.splice(0)) this.#press(key)
    // One of them has led to another page.
    if (!this.#isLaidOut && !this.#isOver) return this.#refresh()
  }

  async #linesOf(page: PageName, cursor: string | undefined): Promise<readonly ForwardLine[]> {
    const width = widthOf(this.#options.output)
    // A key may come before the first look, when no forward is known yet.
    if (this.#report === undefined) return looking
    if (page === 'list') return statusLines(this.#report, width, false)
    try {
      return (await this.#sources.pages(page, cursor, width)).map((line) => ({ line }))
    } catch (error) {
      return wrapLine([{ text: errorText(error) }], width).map((line) => ({ line }))
    }
  }

  #page() {
    return { lines: this.#lines, rows: rowsOf(this.#options.output) ?? unknownRows }
  }

  #paint(): void {
    const { colour, unicode, output } = this.#options
    const rows = picture(this.#view, this.#page(), { width: widthOf(output), colour, keys: this.#keys() })
    const text = frame(rows)
    this.#screen.write(unicode ? text : asciiOnly(text))
  }

  #keys(): string {
    const { page, cursor } = this.#view
    const looked =
      this.#report === undefined
        ? ''
        : ` · last look ${localTime(new Date(this.#report.takenAt)).slice(11)}, every ${preciseDuration(this.#options.intervalMs)}`
    if (page === 'list') return `q quit · arrows select · Enter details · l log · w why · h history${looked}`
    return `q quit · Esc back · arrows, PgUp, PgDn scroll · ${page} of ${cursor ?? 'all'}${looked}`
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, ms))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
