/** Answers of one question, by id. */
type Ask<Found> = (ids: readonly string[]) => Promise<ReadonlyMap<string, Found>>

/** Ids in one question at most. */
const mostAtOnce = 500

interface Waiting<Found> {
  readonly resolve: (found: Found | undefined) => void
  readonly reject: (error: unknown) => void
}

/** Looks up one id after another in as few questions as can be: while one is under way, those that come wait for the next. So a flood of guessed ids costs a database no more than one question at a time. */
export class Lookups<Found> {
  readonly #ask: Ask<Found>
  #waiting: { readonly id: string; readonly by: Waiting<Found> }[] = []
  #isAsking = false

  constructor(ask: Ask<Found>) {
    this.#ask = ask
  }

  find(id: string): Promise<Found | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ id, by: { resolve, reject } })
      if (!this.#isAsking) void this.#askAll()
    })
  }

  async #askAll(): Promise<void> {
    this.#isAsking = true
    // Those of this turn go together.
    await undefined
    while (this.#waiting.length > 0) {
      const asked = this.#waiting.splice(0, mostAtOnce)
      try {
        const found = await this.#ask([...new Set(asked.map(({ id }) => id))])
        for (const { id, by } of asked) by.resolve(found.get(id))
      } catch (error) {
        for (const { by } of asked) by.reject(error)
      }
    }
    this.#isAsking = false
  }
}
