/** What everything in this folder speaks of: lines, questions about them, and answers. */

export const streams = ['stdout', 'stderr', 'watchdog'] as const

/** `watchdog`: a note of the monitor: started, exited, lines lost. */
export type Stream = (typeof streams)[number]

export interface OutputLine {
  /** Rises by one with every line of this program, for ever: also over restarts of the program and of the monitor. A gap = lost lines. */
  readonly seq: number
  /** Wall-clock ms at which it was read. */
  readonly at: number
  readonly stream: Stream
  /** error, warning, info, debug, or a person's own; null = no pattern matched. */
  readonly class: string | null
  /** As printed, with its ANSI sequences, without the line end. Bytes that are no UTF-8 are U+FFFD. */
  readonly text: string
  /** It goes on the line before of the same stream: a stack trace, indented JSON. */
  readonly continues?: true
  /** It was longer than 8 KiB. */
  readonly cut?: true
  /** It has no line end yet. Its number is that of the line to come. */
  readonly partial?: true
}

/** Bytes of a line that are kept. */
export const maxLineBytes = 8192

/** Which lines a reader wants. All conditions must hold. */
export interface LogQuery {
  /** Lines from this number on, oldest first. Without it the newest lines that match. */
  readonly cursor?: number | undefined
  /** At most so many of the newest lines; 0 = all. Default: 100 without a cursor, all with one. */
  readonly tail?: number | undefined
  /** Wall-clock ms, inclusive. */
  readonly since?: number | undefined
  /** Wall-clock ms, exclusive. */
  readonly until?: number | undefined
  /** Lines of one of these classes. */
  readonly class?: readonly string[] | undefined
  readonly stream?: Stream | undefined
  /** Lines with this text, without regard to ANSI sequences. */
  readonly contains?: string | undefined
  /** Lines that match this expression (RE2 syntax), without their ANSI sequences. */
  readonly regex?: string | undefined
  /** Lines before each match that are told, too. */
  readonly before?: number | undefined
  /** Lines after each match that are told, too. */
  readonly after?: number | undefined
  /** Bytes of text in the answer at most. */
  readonly maxBytes?: number | undefined
}

export interface LogPage {
  /** Oldest first. */
  readonly lines: readonly OutputLine[]
  /** Where the next question goes on. */
  readonly cursor: number
  /** Lines after the asked cursor that nobody can read any more: rotated away, or lost to a full disk. */
  readonly dropped: number
  /** More lines match than there was room for. With a cursor: ask again. Without: older ones are left out. */
  readonly truncated: boolean
}

export interface SearchQuery {
  /** Words; a line matches when it has one of them, whatever its case. A word also matches the beginning of a longer one. */
  readonly words: string
  /** How many lines are told. */
  readonly top: number
  readonly since?: number | undefined
  readonly class?: readonly string[] | undefined
}

export interface Found {
  readonly line: OutputLine
  /** How well it fits (BM25); only to be compared within one answer. */
  readonly score: number
  /** How many other lines differ from it in numbers alone. */
  readonly similar: number
}

export interface SearchPage {
  /** Best first; of equal ones the newest. */
  readonly found: readonly Found[]
  /** How many lines match. */
  readonly matches: number
  /** Lines that were looked at. */
  readonly searched: number
  /** Older lines than those were not looked at. */
  readonly truncated: boolean
}

export interface ClassCount {
  readonly class: string
  /** Lines since `OutputCounts.since`. */
  readonly count: number
  /** Lines within the window that was asked for. */
  readonly recent: number
  readonly first: OutputLine | null
  readonly last: OutputLine | null
}

export interface OutputCounts {
  /** Wall-clock ms of the oldest line that is counted; null = there is none. */
  readonly since: number | null
  readonly lines: number
  /** Classes of which there was a line. */
  readonly classes: readonly ClassCount[]
  /** Lines and bytes that could not be kept, the disk being full, and bytes that were cut from long lines. */
  readonly lost: { readonly lines: number; readonly bytes: number; readonly cutBytes: number }
  /** Lines that made room for newer ones. */
  readonly rotated: number
  /** Why lines cannot be kept at present; null = they can. */
  readonly problem: string | null
}

/** How a trace of Python begins. */
export const tracebackHead = 'Traceback (most recent call last)'
