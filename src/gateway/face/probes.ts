import type { IncomingMessage, ServerResponse } from 'node:http'
import { wallTime } from '../../os/clock.ts'
import { oneLine } from '../../os/printable.ts'
import type { GatewayState } from '../../record/shapes/gateway-state.ts'
import { type Access, showsSomething } from '../access.ts'
import type { RequestFigures } from '../figures.ts'
import type { GatewayCore } from '../gateway-core.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import { challengeText } from './challenge.ts'
import { refuse, refuseAdmission, refuseMethod, send } from './visit.ts'

/** What the probes need of the gateway. */
export interface Probed {
  readonly core: GatewayCore
  readonly access: Access
  /** The address that asks. */
  readonly from: string
  /** How everything stands. */
  readonly state: () => GatewayState
  readonly requests: () => RequestFigures
}

const probes = ['/health', '/healthz', '/readyz', '/metrics'] as const

type Probe = (typeof probes)[number]

export function isProbe(path: string): path is Probe {
  return (probes as readonly string[]).includes(path)
}

/** Where it is, and what is wrong with it, is for who may look after all of the gateway. */
function storeFor(store: GatewayState['store'], bound: readonly string[] | null): object | null {
  if (store === null || bound === null) return store
  return { state: store.state, serves: store.serves }
}

/** Everybody may ask whether the gateway lives and is ready. Only a client with a key may read figures and the names of connectors. */
export async function answerProbe(
  path: Probe,
  request: IncomingMessage,
  response: ServerResponse,
  { access, core, from, state, requests }: Probed,
): Promise<void> {
  const { headers, method } = request
  if (method !== 'GET' && method !== 'HEAD') return refuseMethod(response, method, 'GET, HEAD')
  if (path === '/health' || path === '/healthz') {
    const userAgent = headers['user-agent'] ?? 'none'
    core.requests.say(() => `Health check accessed (userAgent=${oneLine(userAgent)} ip=${from})`)
    return send(response, 200, JSON.stringify({ status: 'ok', timestamp: wallTime() }))
  }
  const now = state()
  const isAsked = showsSomething(request) || path === '/metrics'
  const admission = isAsked ? await access.judge(request, from, path) : undefined
  if (admission?.ok === false)
    return refuseAdmission(response, admission, (more) => challengeText(undefined, '', path, more))
  // A token, and a key of a profile, are for tools: who holds one does not look after the gateway.
  if (
    admission !== undefined &&
    (admission.principal.kind === 'token' || admission.principal.profile !== null)
  )
    return refuse(response, 403, new RpcError(rpcCode.forbidden, 'Forbidden: this needs another key'))
  const bound = admission?.principal.connectors ?? null
  if (path === '/metrics') {
    const what = 'figures are about all connectors, and this key is bound to some'
    if (bound !== null) return refuse(response, 403, new RpcError(rpcCode.forbidden, what))
    const { contentType, text } = await core.figures.exposition(now, requests())
    return send(response, 200, text, { 'content-type': contentType })
  }
  const connectors = now.connectors.filter(({ id }) => bound === null || bound.includes(id))
  // `serves` is false when the gateway refuses all keys; while the store is only away, it still takes known ones.
  const isReady = connectors.every(({ healthy }) => healthy) && now.store?.serves !== false
  const details = admission === undefined ? {} : { connectors, store: storeFor(now.store, bound) }
  const body = JSON.stringify({ status: isReady ? 'ready' : 'not ready', ...details })
  send(response, isReady ? 200 : 503, body, isReady ? {} : { 'retry-after': '5' })
}
