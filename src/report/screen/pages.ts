import { bootId, monotonicMs, wallTime } from '../../os/clock.ts'
import { readJournal } from '../../record/journal.ts'
import { assess } from '../assess.ts'
import { gather } from '../gather.ts'
import { gatherHistory } from '../gather-history.ts'
import { readLogs } from '../log-reader.ts'
import { chooseSources, logSources } from '../log-source.ts'
import { statusLines } from '../render.ts'
import { historyLines } from '../render-history.ts'
import { LogLines, storyLines } from '../render-log.ts'
import type { Line } from '../text.ts'
import { renderWhy, whyRestarted } from '../why.ts'
import type { PageName } from './view.ts'

/** Entries of the log that can be scrolled through. */
const entriesShown = 500

/**
 * The lines of one page about a forward, read anew each time.
 * @param forward its name; undefined = all.
 * @throws Failure when nothing is known of that forward.
 */
export async function pageLines(
  directory: string,
  page: Exclude<PageName, 'list'>,
  forward: string | undefined,
  width: number,
): Promise<readonly Line[]> {
  const asked = forward === undefined ? [] : [forward]
  switch (page) {
    case 'forward':
      return statusLines(assess(await gather(directory, { asked })), width).map(({ line }) => line)
    case 'history':
      return historyLines(await gatherHistory(directory, asked), width)
    case 'log':
      return logLines(directory, forward, width)
    case 'why':
      return whyLines(directory, forward, width)
  }
}

function logLines(directory: string, forward: string | undefined, width: number): Line[] {
  const sources = chooseSources(logSources(directory), forward)
  const entries = readLogs(sources, { tail: entriesShown, level: 'info', since: undefined })
  const sourceWidth = sources.length === 1 ? 0 : Math.max(0, ...sources.map(({ name }) => name.length))
  // The newest first: the screen shows the latest events without scrolling.
  return new LogLines(() => ({ width, sourceWidth, milliseconds: false })).lines(entries.reverse())
}

async function whyLines(directory: string, forward: string | undefined, width: number): Promise<Line[]> {
  if (forward === undefined) return [[{ text: 'There is no forward yet.' }]]
  const now = { time: wallTime(), monotonicMs: monotonicMs(), bootId: bootId() }
  const why = whyRestarted(await readJournal(directory), forward, now)
  if (why.kind === 'unknown-forward') return [[{ text: `The journal has no entry about ${forward} yet.` }]]
  return storyLines(renderWhy(why), width)
}
