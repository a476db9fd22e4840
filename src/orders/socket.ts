/** The control socket's road to the orders: the command `order`. */
import type { Caller, CommandHandler } from '../control/server.ts'
import { ownUid } from '../os/trusted-path.ts'
import type { Actor } from '../record/shapes/journal.ts'
import type { OrderedMonitor } from './monitor.ts'
import { type OrderAnswer, refused } from './order.ts'

/**
 * The handler of `{"command": "order", "order": NAME, "input": {...}, "actor": {...}}`. The answer is an `OrderAnswer`; what an order tells
 * meanwhile comes as events.
 *
 * The modes of the socket and of its directory let only its owner and root in. Node cannot tell which of the two is calling, so the caller
 * names itself and the road (`via`) in `actor`.
 * @param monitor undefined while it is starting.
 */
export function orderHandler(monitor: () => OrderedMonitor | undefined): CommandHandler {
  return async ({ order, input, actor: said }, caller: Caller): Promise<OrderAnswer> => {
    const actor = actorOf(said)
    const running = monitor()
    if (actor === undefined) {
      return refused('not-permitted', 'the actor of an order is the owner of the monitor, or root')
    }
    if (running === undefined) return refused('not-ready', 'the monitor is only starting', 'try again')
    const { carryOut } = await import('./index.ts')
    const { ownerPrincipal } = await import('./principal.ts')
    const { gone, emit } = caller
    return carryOut(String(order), input ?? {}, {
      monitor: running,
      principal: ownerPrincipal(actor),
      gone,
      emit,
    })
  }
}

const roads: readonly Actor['via'][] = ['cli', 'http', 'mcp']

/** Who speaks by hand, with `nc`, may leave it out. */
function actorOf(said: unknown): Actor | undefined {
  const owner = ownUid()
  const { user, uid, via } = (said ?? {}) as Partial<Actor>
  const actor: Actor = {
    user: typeof user === 'string' && user !== '' ? user.slice(0, 64) : `UID ${owner}`,
    uid: typeof uid === 'number' ? uid : owner,
    via: roads.find((road) => road === via) ?? 'cli',
  }
  return actor.uid === owner || actor.uid === 0 ? actor : undefined
}
