// Those who take part: started side by side and measured in turn. Who fails twice is left out, and the report says so.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { say } from '../supervisors/command.ts'
import type { Contender, Standing } from './contenders.ts'

type Measure = (contender: Contender, standing: Standing) => Promise<unknown>

export class Field {
  readonly contenders: readonly Contender[]
  readonly failures: string[] = []
  readonly #folder: string
  #starts = 0
  #turns = 0

  constructor(contenders: readonly Contender[], folder: string) {
    this.contenders = contenders
    this.#folder = folder
  }

  /** A new folder of its own for something that is started. */
  folder(): string {
    const folder = join(this.#folder, `${++this.#starts}`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return folder
  }

  /**
   * Starts these, and ends them after the work.
   * @param work gets what runs one measurement with each of them, beginning with another one each time.
   */
  async withAll(
    contenders: readonly Contender[],
    work: (run: (what: string, measure: Measure) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const standing = new Map<Contender, Standing>()
    const failed = new Map<Contender, number>()
    const attempt = async (contender: Contender, what: string, measure: () => Promise<unknown>) => {
      if ((failed.get(contender) ?? 0) > 1) return
      try {
        await measure()
      } catch (error) {
        failed.set(contender, (failed.get(contender) ?? 0) + 1)
        const why = `${contender.name}, ${what}: ${error instanceof Error ? error.message : error}`
        this.failures.push(why)
        say(`FAILED ${why}`)
      }
    }
    try {
      for (const contender of contenders) {
        await attempt(contender, 'start', async () => {
          standing.set(contender, await contender.start(this.folder()))
        })
      }
      await work(async (what, measure) => {
        const turn = this.#turns++ % contenders.length
        for (const contender of [...contenders.slice(turn), ...contenders.slice(0, turn)]) {
          const its = standing.get(contender)
          if (its === undefined) continue
          say(`${what}: ${contender.name}`)
          await attempt(contender, what, () => measure(contender, its))
        }
      })
    } finally {
      for (const { group } of standing.values()) await group.stop()
    }
  }
}
