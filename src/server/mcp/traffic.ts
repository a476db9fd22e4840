/** What was asked of an MCP server, for `watchdog://system_stats`. */

/** Durations that are kept of each tool: enough for a p99 of what happens now. */
const keptDurations = 256

/** Tools and clients that are told apart; the rest is one. A client names itself, so that their number is not in our hands. */
const mostNames = 100

interface Tally {
  calls: number
  errors: number
  readonly durations: number[]
}

export interface TrafficFigures {
  readonly name: string
  readonly calls: number
  readonly errors: number
  /** Of the last 256 calls. */
  readonly p99Ms: number
}

export interface TrafficReport {
  readonly tools: readonly TrafficFigures[]
  readonly clients: readonly TrafficFigures[]
}

export class Traffic {
  readonly #tools = new Map<string, Tally>()
  readonly #clients = new Map<string, Tally>()

  count(tool: string, client: string, ms: number, isError: boolean): void {
    for (const [tallies, name] of [
      [this.#tools, tool],
      [this.#clients, client],
    ] as const) {
      const tally = tallyOf(tallies, name)
      tally.durations[tally.calls % keptDurations] = ms
      tally.calls += 1
      if (isError) tally.errors += 1
    }
  }

  report(): TrafficReport {
    return { tools: figures(this.#tools), clients: figures(this.#clients) }
  }
}

function tallyOf(tallies: Map<string, Tally>, name: string): Tally {
  const key = tallies.has(name) || tallies.size < mostNames ? name.slice(0, 64) : 'others'
  const known = tallies.get(key)
  if (known !== undefined) return known
  const fresh: Tally = { calls: 0, errors: 0, durations: [] }
  tallies.set(key, fresh)
  return fresh
}

function figures(tallies: ReadonlyMap<string, Tally>): TrafficFigures[] {
  return [...tallies].map(([name, { calls, errors, durations }]) => {
    const sorted = durations.toSorted((a, b) => a - b)
    const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0
    return { name, calls, errors, p99Ms: Math.round(p99 * 10) / 10 }
  })
}
