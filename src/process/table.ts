import type { TableEntry } from '../os/backend.ts'
import { system } from '../os/system.ts'

let asked: Promise<readonly TableEntry[]> | undefined

/**
 * The process table as it is after this call, read once for all who ask in the same turn of the event loop: with 200 programs that end
 * together, a read for each of them took longer than the programs.
 */
export function nextProcessTable(): Promise<readonly TableEntry[]> {
  asked ??= new Promise((resolve, reject) => {
    setImmediate(() => {
      asked = undefined
      try {
        resolve(system.processTable())
      } catch (error) {
        reject(error)
      }
    })
  })
  return asked
}

let known: readonly TableEntry[] | undefined

/** The process table as it was at the first such call of this turn: for who asks about processes that were there before. */
export function processTableOfTurn(): readonly TableEntry[] {
  if (known === undefined) {
    known = system.processTable()
    setImmediate(() => {
      known = undefined
    })
  }
  return known
}
