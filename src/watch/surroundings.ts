import type { Log } from '../log/index.ts'
import type { TroubleSubject } from './decide/state.ts'
import type { Explanation } from './narrate/journal.ts'

/** What a watcher needs of the world around it. */
export interface WatcherSurroundings {
  /** ms between two rounds, as it is configured now. */
  readonly intervalMs: () => number
  readonly log: Log
  readonly alert: (
    event: 'opened' | 'resolved' | 'flapping',
    subject: TroubleSubject,
    message: string,
  ) => void
  /** The units that must be ready before this one is started and are not, by their names; missing = none. */
  readonly waitsFor?: () => readonly string[]
  /** What the unit is made of has changed, and it is about to be started anew. */
  readonly renewing?: () => void
  /** Whether the unit may be started anew now, or later: see `Turns.take`. Missing = it always may. */
  readonly takesTurn?: (isServing: boolean, later: () => void) => boolean
  /**
   * Called after every look, and every decision that changed the state.
   * @param isNews false: nothing is known now that was not known before.
   */
  readonly changed: (isNews: boolean) => void
  /** Called after every decision that is news, once it is carried out: a slow disk delays no restart. */
  readonly journal: (explanation: Explanation) => void
}
