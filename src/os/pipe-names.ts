import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** Names that are made at once when pipes are wanted one after another: running mkfifo(1) takes longer than all the rest of a start. */
const supplySize = 32

/** ms for which a supply is kept that nobody takes from. */
const keptForMs = 1000

interface Supply {
  /** A folder of this user alone. */
  readonly folder: string
  readonly names: string[]
  readonly timer: NodeJS.Timeout
}

let supply: Supply | undefined
let isFollowed = false

/**
 * Hands named pipes (fifo(7)) to `use`, after which their names are gone. The first ones are made for themselves; where more are wanted within
 * a second, a supply of them is made, which is gone a second later.
 * @throws what `use` throws; the system's error when there is no temporary folder or no mkfifo(1).
 */
export function withNamedPipes<Result>(count: number, use: (names: readonly string[]) => Result): Result {
  if (supply === undefined || supply.names.length < count)
    supply = supplyOf(supply === undefined ? count : Math.max(count, supplySize))
  const { folder, names, timer } = supply
  timer.refresh()
  const taken = names.splice(0, count)
  try {
    return use(taken)
  } catch (error) {
    // Somebody may have removed them.
    names.length = 0
    throw error
  } finally {
    if (names.length === 0) rmSync(folder, { recursive: true, force: true })
    for (const name of taken) rmSync(name, { force: true })
  }
}

function supplyOf(count: number): Supply {
  if (supply !== undefined) clear(supply)
  if (!isFollowed) process.once('exit', () => supply && clear(supply))
  isFollowed = true
  const folder = mkdtempSync(path.join(tmpdir(), 'port-watchdog-'))
  const names = Array.from({ length: count }, (_, index) => path.join(folder, String(index)))
  const made = { folder, names: [...names], timer: setTimeout(() => clear(made), keptForMs).unref() }
  try {
    execFileSync('mkfifo', ['-m', '600', ...names], { stdio: 'ignore' })
    return made
  } catch (error) {
    clear(made)
    throw error
  }
}

function clear(made: Supply): void {
  clearTimeout(made.timer)
  if (supply === made) supply = undefined
  rmSync(made.folder, { recursive: true, force: true })
}
