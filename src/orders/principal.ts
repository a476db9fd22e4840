/** Who gives an order, and what he may: the one place where that is enforced, for every road. */
import { type ApiKey, type KeyScope, keyScopes } from '../record/api-keys.ts'
import type { NamedEvent } from '../record/journal.ts'
import type { Actor } from '../record/shapes/journal.ts'
import type { OrderedMonitor, OrderedUnit } from './monitor.ts'
import { OrderRefusal, type Scope } from './order.ts'

/** Made by a road once it knows who is calling. There is no default one. */
export interface Principal {
  readonly actor: Actor
  /** The id of the API key; null = the owner of the monitor. */
  readonly key: string | null
  /** An IP address; null = this machine, over the control socket. */
  readonly from: string | null
  readonly scopes: readonly Scope[]
  /** The names of the units that it may see and order. */
  readonly units: readonly string[] | 'all'
}

/** Who may open the control socket: its owner, and root. */
export function ownerPrincipal(actor: Actor): Principal {
  return { actor, key: null, from: null, scopes: [...keyScopes, 'owner'], units: 'all' }
}

/** The holder of an API key. */
export function keyPrincipal(key: ApiKey, via: Exclude<Actor['via'], 'cli'>, from: string): Principal {
  const scopes: readonly KeyScope[] = key.scopes
  return {
    actor: { user: key.name, uid: null, via },
    key: key.id,
    from,
    scopes,
    units: key.units ?? 'all',
  }
}

/**
 * A monitor as a principal sees it: units that it is not bound to do not exist for it, nor does what happens to them.
 * @throws OrderRefusal from what concerns the monitor as a whole.
 */
export function seenBy(monitor: OrderedMonitor, { units }: Principal): OrderedMonitor {
  if (units === 'all') return monitor
  const isSeen = ({ name, group = name }: Pick<OrderedUnit, 'name' | 'group'>) =>
    units.includes(name) || units.includes(group)
  const part = <Event extends NamedEvent>(event: Event) => {
    const copies = monitor.units().filter(isSeen)
    return partOf(event, [...units, ...copies.map(({ name }) => name)])
  }
  const refuse = () => {
    throw notWhole()
  }
  return {
    stateDirectory: monitor.stateDirectory,
    isWhole: false,
    get isEnding() {
      return monitor.isEnding
    },
    units: () => monitor.units().filter(isSeen),
    state: () => monitor.state(),
    scalable: () => monitor.scalable().filter(isSeen),
    onChange: (changed) => monitor.onChange(changed),
    follow: (seen) =>
      monitor.follow((event) => {
        for (const one of part(event)) seen(one)
      }),
    past: async (isEnough) => (await monitor.past(isEnough)).flatMap(part),
    configuration: refuse,
    reload: refuse,
    alerts: refuse,
    end: refuse,
    keys: refuse,
    journal: refuse,
    audit: refuse,
  }
}

/** The refusal of an order about the monitor as a whole. */
export function notWhole(): OrderRefusal {
  const message = 'this key is bound to some programs and forwards, and the order is about the whole monitor'
  return new OrderRefusal('not-permitted', message, 'use a key that is not bound: proxy-ctl key create')
}

/** What somebody who is bound to these units hears of an event: nothing, or the event without the names of others. */
function partOf<Event extends NamedEvent>(event: Event, units: readonly string[]): Event[] {
  const isSeen = (name: string) => units.includes(name)
  switch (event.event) {
    case 'forward':
      return isSeen(event.forward) ? [event] : []
    case 'unit':
    case 'incident':
      return isSeen(event.name) ? [event] : []
    case 'order':
      // Its message may name units of others.
      return event.units.length > 0 && event.units.every(isSeen) ? [event] : []
    case 'monitor-started':
      return [
        {
          ...event,
          forwards: event.forwards.filter(({ name }) => isSeen(name)),
          programs: event.programs?.filter(isSeen),
          renamed: [],
        },
      ]
    case 'configuration-changed':
      return []
    case 'monitor-stopped':
    case 'monitor-gap':
    case 'events-lost':
      return [event]
  }
}
