import { existsSync } from 'node:fs'
import path from 'node:path'
import { removeQuietly, writeFileAtomically } from '../../os/atomic-file.ts'
import { readRegularFile } from '../../os/regular-file.ts'
import {
  judgeProcess,
  ownIdentity,
  type ProcessIdentity,
  sameProcess,
  signalProcess,
} from '../../process/identity.ts'
import { portHolders } from '../../process/port-holder.ts'
import { shapeOf } from '../../record/shapes/index.ts'
import { list, object } from '../../record/shapes/kinds.ts'
import { processIdentity } from '../../record/shapes/process-identity.ts'
import { demandOwnDirectory } from '../../record/state-directory.ts'

interface Written {
  readonly forwarder: ProcessIdentity
  readonly workers: readonly ProcessIdentity[]
}

const workerRecord = shapeOf<Written>()(
  object({ forwarder: processIdentity, workers: list(processIdentity) }),
)

/** ms that workers have to let go of the port when the process is gone that started them; they need a few. */
const letGoMs = 500

/** ms between two looks. */
const lookMs = 10

/**
 * Which processes are the workers of a forward, for the forwarder that comes after one that was killed: workers let go of the port by
 * themselves when it dies, unless they are stopped or hang.
 */
export class WorkerRecord {
  readonly #file: string
  #workers: readonly ProcessIdentity[] | undefined

  constructor(file: string) {
    this.#file = file
  }

  /** Writes it again when somebody has removed it; true when it was. */
  keep(): boolean {
    if (this.#workers === undefined || existsSync(this.#file)) return false
    this.write(this.#workers)
    return existsSync(this.#file)
  }

  /** Never fails: a forward works without, on a full disk for example. */
  write(workers: readonly ProcessIdentity[]): void {
    this.#workers = workers
    const written = read(this.#file)
    // One that came after this process has its own.
    if (written !== undefined && !isOurs(written) && isThere(written.forwarder)) return
    try {
      demandOwnDirectory(path.dirname(this.#file))
      writeFileAtomically(
        this.#file,
        JSON.stringify({ forwarder: ownIdentity(), workers } satisfies Written),
        false,
      )
    } catch {
      // What is written is needed only by the next one, if this one is killed while a worker hangs.
    }
  }

  remove(): void {
    this.#workers = undefined
    const written = read(this.#file)
    if (written !== undefined && isOurs(written)) removeQuietly(this.#file)
  }
}

/** Waits until the workers of a forwarder that is gone have let go of its port, and kills those that do not. */
export async function endOrphans(file: string, port: number): Promise<void> {
  const written = read(file)
  if (written === undefined || isThere(written.forwarder)) return
  const orphans = written.workers.filter(isThere)
  if (orphans.length === 0) return
  const killed = new Set(orphans.filter((orphan) => judgeProcess(orphan) === 'stopped'))
  for (const orphan of killed) signalProcess(orphan, 'SIGKILL')
  const giveUpAt = performance.now() + letGoMs
  for (;;) {
    const isLate = performance.now() > giveUpAt
    const { pids, hasUnseen } = portHolders(port)
    const holding = orphans.filter(({ pid }) => pids.has(pid))
    if (isLate) {
      for (const orphan of holding) {
        killed.add(orphan)
        signalProcess(orphan, 'SIGKILL')
      }
    }
    // One that nobody is seen to hold is being closed by the last threads of a zombie, or is another user's.
    const isDone = holding.length === 0 && (!hasUnseen || isLate)
    if (isDone && ![...killed].some(isThere)) return
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}

function read(file: string): Written | undefined {
  try {
    return workerRecord.read(JSON.parse(readRegularFile(file)))
  } catch {
    return undefined
  }
}

function isOurs({ forwarder }: Written): boolean {
  return sameProcess(forwarder, ownIdentity())
}

function isThere(identity: ProcessIdentity): boolean {
  const verdict = judgeProcess(identity)
  return verdict === 'alive' || verdict === 'stopped'
}
