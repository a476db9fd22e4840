import { lookup, Resolver } from 'node:dns'

/** Asks a resolver once. A failed answer is an error; an empty list is none. */
export type Lookup = (
  name: string,
  answer: (error: Error | null, addresses: readonly string[]) => void,
) => void

export interface NameCacheLimits {
  /** How long an answer is used without asking again, in ms: a name that moves is followed as fast. */
  readonly freshMs: number
  /** The same for a failure, so that a name that does not exist is not asked for by every client. */
  readonly failedMs: number
  /** How long a renewal is waited for before the answer from before is used, in ms. */
  readonly renewalMs: number
  /** How long a first answer is waited for, in ms. The resolver itself may go on. */
  readonly patienceMs: number
  /** Names kept; the one asked for longest ago goes first. */
  readonly names: number
}

export const nameCacheDefaults: NameCacheLimits = {
  freshMs: 5_000,
  failedMs: 1_000,
  renewalMs: 500,
  patienceMs: 5_000,
  names: 256,
}

/** Why a name has no address: it is not a name, or (`resolver`) nobody can be asked. */
export interface NameProblem {
  readonly reason: 'target-error' | 'resolver'
  readonly message: string
}

type Answer = (problem: NameProblem | undefined, addresses: readonly string[]) => void

interface Entry {
  /** The last good answer. */
  addresses: readonly string[]
  problem: NameProblem | undefined
  /** `performance.now()` until which the above needs no question. */
  freshUntil: number
  /** Somebody has waited for the question under way for as long as a renewal is waited for. */
  isLate: boolean
  /** Those who wait for the question under way; undefined when there is none. */
  waiting: Set<Answer> | undefined
}

/**
 * Remembers for a few seconds what names stand for. One question a name is under way, however many ask. While the resolver fails or
 * hangs, the last good answer goes on being used: an address that worked is a better guess than none.
 */
export class NameCache {
  readonly #lookup: Lookup
  readonly #limits: NameCacheLimits
  readonly #entries = new Map<string, Entry>()

  constructor(lookup: Lookup, limits: NameCacheLimits = nameCacheDefaults) {
    this.#lookup = lookup
    this.#limits = limits
  }

  /** Answers within this call when it knows. */
  resolve(name: string, answer: Answer): void {
    const entry = this.#entry(name)
    if (performance.now() < entry.freshUntil) return answer(entry.problem, entry.addresses)
    if (entry.waiting === undefined) this.#ask(name, entry)
    if (entry.isLate || entry.waiting === undefined) answer(entry.problem, entry.addresses)
    else this.#wait(name, entry, entry.waiting, answer)
  }

  #entry(name: string): Entry {
    const known = this.#entries.get(name)
    const entry = known ?? {
      addresses: [],
      problem: undefined,
      freshUntil: 0,
      isLate: false,
      waiting: undefined,
    }
    // A Map keeps the order of insertion: whatever was used last stands last.
    if (known !== undefined) this.#entries.delete(name)
    this.#entries.set(name, entry)
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#limits.names) break
      this.#entries.delete(oldest)
    }
    return entry
  }

  #wait(name: string, entry: Entry, waiting: Set<Answer>, answer: Answer): void {
    const { renewalMs, patienceMs } = this.#limits
    const hasOld = entry.addresses.length > 0
    const timer = setTimeout(
      () => {
        waiting.delete(told)
        entry.isLate = hasOld
        answer(hasOld ? undefined : unasked(name, 'no answer'), entry.addresses)
      },
      hasOld ? renewalMs : patienceMs,
    )
    const told: Answer = (problem, addresses) => {
      clearTimeout(timer)
      answer(problem, addresses)
    }
    waiting.add(told)
  }

  #ask(name: string, entry: Entry): void {
    const waiting = new Set<Answer>()
    entry.waiting = waiting
    entry.isLate = false
    this.#lookup(name, (error, addresses) => {
      entry.waiting = undefined
      this.#note(name, entry, error, addresses)
      for (const answer of waiting) answer(entry.problem, entry.addresses)
    })
  }

  #note(name: string, entry: Entry, error: Error | null, addresses: readonly string[]): void {
    const isGood = error === null && addresses.length > 0
    if (isGood) entry.addresses = addresses
    const code = (error as NodeJS.ErrnoException | null)?.code ?? 'no address'
    entry.problem = entry.addresses.length > 0 ? undefined : problemOf(name, code)
    entry.freshUntil = performance.now() + (isGood ? this.#limits.freshMs : this.#limits.failedMs)
  }
}

/** What getaddrinfo(3) and Node's resolver answer when no name server could be asked, or none answered. */
const unaskedCodes: ReadonlySet<string> = new Set([
  'EAI_AGAIN',
  'EAI_MEMORY',
  'EAI_SYSTEM',
  'EMFILE',
  'ENFILE',
  'ECONNREFUSED',
  'ETIMEOUT',
  'ETIMEDOUT',
  'ECANCELLED',
  'ENOMEM',
  'EAGAIN',
])

function problemOf(name: string, code: string): NameProblem {
  if (unaskedCodes.has(code)) return unasked(name, code)
  return { reason: 'target-error', message: `the name ${name} cannot be resolved (${code})` }
}

function unasked(name: string, code: string): NameProblem {
  const message = `this machine’s resolver does not answer for ${name} (${code}); see /etc/resolv.conf, or name another with --resolver`
  return { reason: 'resolver', message }
}

/** `getaddrinfo` occupies one of the few threads that Node also reads files with; more questions than this wait in line. */
const systemLookupsAtOnce = 2
let systemLookups = 0
const inLine: (() => void)[] = []

/** The system's resolver: /etc/hosts, mDNS and whatever else nsswitch.conf(5) names. */
export const systemLookup: Lookup = (name, answer) => {
  const ask = () => {
    systemLookups++
    lookup(name, { all: true, verbatim: true }, (error, found) => {
      systemLookups--
      inLine.shift()?.()
      answer(error, error === null ? found.map(({ address }) => address) : [])
    })
  }
  if (systemLookups < systemLookupsAtOnce) ask()
  else inLine.push(ask)
}

/** DNS servers of one's own, asked without threads; A and AAAA at the same time. */
export function serverLookup(servers: readonly string[]): Lookup {
  const resolver = new Resolver({ timeout: 1_000, tries: 2 })
  resolver.setServers(servers)
  return (name, answer) => {
    let open = 2
    let problem: Error | null = null
    const found: Record<4 | 6, readonly string[]> = { 4: [], 6: [] }
    const answered = (family: 4 | 6) => (error: Error | null, addresses: readonly string[]) => {
      if (error === null) found[family] = addresses
      else problem = error
      open--
      if (open > 0) return
      const all = [...found[6], ...found[4]]
      answer(all.length > 0 ? null : problem, all)
    }
    resolver.resolve6(name, answered(6))
    resolver.resolve4(name, answered(4))
  }
}
