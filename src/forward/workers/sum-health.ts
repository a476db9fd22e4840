import {
  type ForwarderHealth,
  type Instance,
  type ProgramFacts,
  sameInstance,
  type TargetFacts,
} from '../../record/shapes/forwarder-health.ts'
import { summaryOf } from '../dial/dialer.ts'

/** What is counted and goes on counting when the process that counted has ended. */
type Counted = Pick<ForwarderHealth, 'gate' | 'bytes'> & {
  readonly connections: Pick<ForwarderHealth['connections'], 'total' | 'refused' | 'ended'>
}

/**
 * The health of a forward that several processes serve: where it listens, its certificate and its age are those of the process that
 * answers, counts are sums over all, and of each target the freshest news is told.
 * @param own what the process that answers says of itself.
 * @param others what those say that are there, leaving ones included.
 * @param retired what those had counted that have ended.
 */
export function sumHealth(
  own: ForwarderHealth,
  others: readonly ForwarderHealth[],
  retired: readonly Counted[],
): ForwarderHealth {
  const there = [own, ...others]
  const all: readonly Counted[] = [...there, ...retired]
  const sum = (count: (health: Counted) => number) => all.reduce((total, health) => total + count(health), 0)
  const sumThere = (count: (health: ForwarderHealth) => number) =>
    there.reduce((total, health) => total + count(health), 0)
  const targets = own.targets.map((target) => {
    const isSame = ({ host, port }: TargetFacts) => host === target.host && port === target.port
    return freshestOf([target, ...others.flatMap((health) => health.targets.find(isSame) ?? [])])
  })
  const { host, port } = own.target
  return {
    ...own,
    // Without one there is nothing to sum up.
    target: targets.length === 0 ? own.target : { ...summaryOf(targets), host, port },
    targets,
    ...(own.program === undefined ? {} : { program: sumProgram(own.program, others) }),
    shortage: there.find(({ shortage }) => shortage !== null)?.shortage ?? null,
    gate:
      own.gate === null
        ? null
        : {
            ...own.gate,
            logins: sum(({ gate }) => gate?.logins ?? 0),
            failedAttempts: sum(({ gate }) => gate?.failedAttempts ?? 0),
            ...wrongTokens(there.flatMap(({ gate }) => gate?.wrongTokens ?? [])),
          },
    connections: {
      open: sumThere(({ connections }) => connections.open),
      total: sum(({ connections }) => connections.total),
      limit: sumThere(({ connections }) => connections.limit),
      full: there.find(({ connections }) => connections.full !== null)?.connections.full ?? null,
      refused: addedUp(all.map(({ connections }) => connections.refused)),
      ended: addedUp(all.map(({ connections }) => connections.ended)),
    },
    bytes: {
      fromClients: sum(({ bytes }) => bytes.fromClients),
      fromTarget: sum(({ bytes }) => bytes.fromTarget),
    },
  }
}

/** Connections to each process of a program, over all processes of the forward. */
function sumProgram(own: ProgramFacts, others: readonly ForwarderHealth[]): ProgramFacts {
  const all = [own, ...others.flatMap(({ program }) => program ?? [])]
  const everywhere = all.flatMap(({ ready, leaving }) => [...ready, ...leaving])
  const openTo = (one: Instance) =>
    everywhere.filter((other) => sameInstance(one, other)).reduce((sum, { open }) => sum + open, 0)
  const isReady = (one: Instance) => own.ready.some((ready) => sameInstance(one, ready))
  const leaving = everywhere.filter((one, at) => {
    return !isReady(one) && everywhere.findIndex((other) => sameInstance(one, other)) === at
  })
  return {
    ...own,
    ready: own.ready.map((one) => ({ ...one, open: openTo(one) })),
    leaving: leaving.map((one) => ({ ...one, open: openTo(one) })).filter(({ open }) => open > 0),
  }
}

type WrongTokens = NonNullable<NonNullable<ForwarderHealth['gate']>['wrongTokens']>

/** Each process counts alone; the last of all is the one seen most lately. */
function wrongTokens(counts: readonly WrongTokens[]): { wrongTokens?: WrongTokens } {
  const age = ({ lastAgeMs }: WrongTokens) => lastAgeMs ?? Number.POSITIVE_INFINITY
  const [latest] = [...counts].sort((one, other) => age(one) - age(other))
  if (latest === undefined) return {}
  const sum = (key: 'lastHour' | 'lastTenMinutes') => counts.reduce((total, count) => total + count[key], 0)
  return { wrongTokens: { ...latest, lastHour: sum('lastHour'), lastTenMinutes: sum('lastTenMinutes') } }
}

/** Puts together what several processes had counted. */
export function counted(one: Counted, other: Counted): Counted {
  const gates = [one.gate, other.gate].filter((gate) => gate !== null)
  const [gate] = gates
  return {
    gate:
      gate === undefined
        ? null
        : {
            ...gate,
            logins: gates.reduce((sum, { logins }) => sum + logins, 0),
            failedAttempts: gates.reduce((sum, { failedAttempts }) => sum + failedAttempts, 0),
          },
    bytes: addedUp([one.bytes, other.bytes]),
    connections: {
      total: one.connections.total + other.connections.total,
      refused: addedUp([one.connections.refused, other.connections.refused]),
      ended: addedUp([one.connections.ended, other.connections.ended]),
    },
  }
}

function addedUp<Key extends string>(counts: readonly Readonly<Record<Key, number>>[]): Record<Key, number> {
  const sums = {} as Record<Key, number>
  for (const count of counts) {
    for (const [key, value] of Object.entries(count) as [Key, number][]) sums[key] = (sums[key] ?? 0) + value
  }
  return sums
}

/** What the process knows that has dialled it last. */
function freshestOf(facts: readonly [TargetFacts, ...TargetFacts[]]): TargetFacts {
  const age = ({ knownAgeMs }: TargetFacts) => knownAgeMs ?? Number.POSITIVE_INFINITY
  const freshest = facts.reduce((best, one) => (age(one) < age(best) ? one : best))
  const answered = facts.filter(({ answeredAgeMs }) => answeredAgeMs !== null)
  if (freshest.state !== 'waiting' || answered.length === 0) return freshest
  // To one process it has never answered, to another it has.
  const { address, answeredAgeMs } = answered.reduce((best, one) => (age(one) < age(best) ? one : best))
  return { ...freshest, state: 'unreachable', address, answeredAgeMs }
}
