import { monotonicMs } from '../../os/clock.ts'
import { duplicateAddressDetection } from '../../os/duplicate-address.ts'
import { errorCode } from '../../os/failure.ts'
import { machineAddresses } from '../../os/interfaces.ts'
import type { ListenPlace } from './listen-plan.ts'
import { bindProblem } from './listeners.ts'

/**
 * ms for which a new address may be unusable before that is a problem. The kernel makes sure for one to three seconds that nobody else
 * on the link has an IPv6 address (RFC 4862 section 5.4), and refuses it to a bind meanwhile.
 */
export const newAddressPatienceMs = 5_000

export interface FailedBind {
  readonly place: ListenPlace
  readonly error: NodeJS.ErrnoException
}

/** Which failed binds are problems, and which of those were told. */
export class BindReport {
  readonly #failing = new Map<ListenPlace, { readonly since: number; told: boolean }>()
  readonly #now: () => number

  /** @param now ms on a clock that never jumps. */
  constructor(now: () => number = monotonicMs) {
    this.#now = now
  }

  /**
   * Takes note of what fails now.
   * @returns what is to be told: each problem once, for as long as it lasts.
   */
  next(failed: readonly FailedBind[]): readonly FailedBind[] {
    const places = new Set(failed.map(({ place }) => place))
    for (const place of this.#failing.keys()) if (!places.has(place)) this.#failing.delete(place)
    for (const { place } of failed) {
      if (!this.#failing.has(place)) this.#failing.set(place, { since: this.#now(), told: false })
    }
    return this.problems(failed).filter(({ place }) => {
      const entry = this.#failing.get(place)
      if (entry === undefined || entry.told) return false
      entry.told = true
      return true
    })
  }

  /** Those that are no address in its first seconds. */
  problems(failed: readonly FailedBind[]): readonly FailedBind[] {
    return failed.filter(({ place, error }) => {
      const since = this.#failing.get(place)?.since ?? this.#now()
      return errorCode(error) !== 'EADDRNOTAVAIL' || this.#now() - since >= newAddressPatienceMs
    })
  }
}

/** True for an address that this machine has, and that its kernel may let be used in a moment. */
export function isUnusableYet({ place, error }: FailedBind): boolean {
  const isOwn = machineAddresses().some(({ address }) => address === place)
  return errorCode(error) === 'EADDRNOTAVAIL' && isOwn && duplicateAddressDetection(place) !== 'failed'
}

/** Why a bind failed, in words. */
export function failedBindInWords({ place, error }: FailedBind): string {
  const detection = errorCode(error) === 'EADDRNOTAVAIL' ? duplicateAddressDetection(place) : undefined
  switch (detection) {
    case 'running':
      return 'the kernel is still checking that no other machine on that network has the address; is the link up?'
    case 'failed':
      return 'another machine on that network has the same address (duplicate address detection); give this one another'
    case undefined:
      return bindProblem(error)
  }
}
