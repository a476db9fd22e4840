import { isDeepStrictEqual } from 'node:util'
import { ControlRefusal, invalidArgument } from '../control/protocol.ts'
import type { Level, Log } from '../log/index.ts'
import { errorText } from '../os/failure.ts'
import { type GatewayReload, reloadInWords } from '../record/shapes/gateway-reload.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { GatewayOptions, WantedGateway } from './options.ts'

// Orders to a gateway that runs: to read its configuration again, to try again what has failed, and to trust tools that have changed.

/** Reads the configuration again and serves what it says. @throws ControlRefusal: then nothing has changed. */
export async function readAgain(
  options: Pick<GatewayOptions, 'load' | 'wanted'>,
  core: GatewayCore,
  log: Log,
): Promise<{ readonly wanted: WantedGateway; readonly reload: GatewayReload }> {
  if (core.isEnding) throw new ControlRefusal('ending', 'the gateway ends')
  let wanted: WantedGateway
  try {
    wanted = await options.load()
  } catch (error) {
    log.error(`The configuration was not taken, the gateway goes on as before: ${errorText(error)}`)
    throw new ControlRefusal('failed', errorText(error), 'the gateway goes on as before')
  }
  const { http, strict, lazy, access, store } = options.wanted
  const needsRestart = [
    ...(isDeepStrictEqual(wanted.http, http) ? [] : ['http']),
    ...(wanted.strict === strict ? [] : ['strict']),
    ...(wanted.lazy === lazy ? [] : ['lazy']),
    ...(isDeepStrictEqual(wanted.access, access) ? [] : ['access']),
    ...(isDeepStrictEqual(wanted.store, store) ? [] : ['store']),
  ]
  const reload = { file: wanted.file, ...core.reconfigure(wanted.connectors, wanted.pin), needsRestart }
  core.tap?.configure(wanted.tap)
  const words = reloadInWords(reload)
  log.info({ good: true }, `The configuration was read again: ${words ?? 'no connector has changed'}`)
  if (needsRestart.length > 0)
    log.warn(
      `${needsRestart.join(' and ')} of the configuration will be as it says when another process is the gateway`,
    )
  return { wanted, reload }
}

/** The levels that a person can set. */
const settable: readonly Level[] = ['debug', 'info', 'warn', 'error']

/** @throws ControlRefusal when it is no level. */
export function levelIn(given: unknown): Level {
  const level = settable.find((one) => one === given)
  if (level === undefined) throw invalidArgument(`level is one of ${settable.join(', ')}`)
  return level
}

/**
 * Connectors that wait for their next try are tried now. @param ids undefined = all. @returns those that were waiting.
 * @throws ControlRefusal when one of them is not served.
 */
export function retried({ upstreams }: GatewayCore, ids: unknown): readonly string[] {
  const known = upstreams.map(({ id }) => id)
  const wanted = Array.isArray(ids) ? ids.map(String) : known
  const unknown = wanted.find((id) => !known.includes(id))
  if (unknown !== undefined)
    throw invalidArgument(`there is no connector "${unknown}"; there are ${known.join(', ')}`)
  const tried = upstreams.filter(({ id, problem }) => wanted.includes(id) && problem !== undefined)
  for (const upstream of tried) upstream.retry()
  return tried.map(({ id }) => id)
}

/**
 * A person trusts the tools of a connector that have changed, or the one that is named. @param known the connectors whose tools are pinned.
 * @returns their names. @throws ControlRefusal when the connector is none of these, or that cannot be written.
 */
export function acceptTools(
  core: GatewayCore,
  known: readonly string[],
  { connector, tool }: Readonly<Record<string, unknown>>,
): readonly string[] {
  const id = String(connector)
  if (!known.includes(id))
    throw invalidArgument(`there is no connector "${id}"; there are ${known.join(', ') || 'none'}`)
  try {
    const accepted = core.acceptTools(id, tool === undefined ? undefined : String(tool))
    if (accepted.length > 0)
      core.log.info({ unit: id, good: true }, `Somebody has accepted ${accepted.join(', ')} of ${id}`)
    return accepted
  } catch (error) {
    throw new ControlRefusal('failed', `that cannot be written: ${errorText(error)}`)
  }
}
