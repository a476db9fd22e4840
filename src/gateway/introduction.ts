import { version } from '../os/version.ts'
import type { Directory } from './directory.ts'
import { isObjectAt, type Member, textOf } from './protocol/json-text.ts'
import { type Message, paramsOf } from './protocol/message.ts'
import { type Era, metaKey, supportedRevisions, tasksExtension } from './protocol/revisions.ts'
import { makesTasks } from './task-shapes.ts'

// What the gateway and a client tell each other of themselves, before the first call. Nothing here waits for a server.

/** JSON text of a client that has not said what it is. */
export const noInfo = JSON.stringify({ name: 'unknown', version: '0' })

/** ms for which a client may keep a list. The gateway notifies it of changes before. */
export const listTtlMs = 5000

const ourInfo = { name: 'port-watchdog', title: 'port-watchdog MCP gateway', version }

/** The answer to `initialize`, as JSON text. */
export function initialized(directory: Directory, revision: string): string {
  return JSON.stringify({
    protocolVersion: revision,
    capabilities: capabilitiesOf(directory, 'legacy'),
    serverInfo: ourInfo,
    ...instructionsOf(directory),
  })
}

/** The answer to `server/discover`, as JSON text. */
export function discovered(directory: Directory): string {
  return JSON.stringify({
    resultType: 'complete',
    supportedVersions: supportedRevisions,
    capabilities: capabilitiesOf(directory, 'modern'),
    ...instructionsOf(directory),
    ttlMs: listTtlMs,
    cacheScope: 'private',
    _meta: { [metaKey.serverInfo]: ourInfo },
  })
}

/** From what is known of the servers; one that is not known yet may have everything. */
function capabilitiesOf({ upstreams }: Directory, era: Era) {
  const has = (capability: string) =>
    upstreams.some(({ facts, isKnown }) => !isKnown || facts?.capabilities[capability] !== undefined)
  const listChanged = { listChanged: true }
  return {
    tools: listChanged,
    ...(has('prompts') ? { prompts: listChanged } : {}),
    ...(has('resources') ? { resources: { subscribe: true, listChanged: true } } : {}),
    ...(has('completions') ? { completions: {} } : {}),
    ...(has('logging') || era === 'legacy' ? { logging: {} } : {}),
    ...taskCapabilities(upstreams, era),
  }
}

/** Each generation has tasks of its own; those of the other one are translated. */
function taskCapabilities(upstreams: Directory['upstreams'], era: Era) {
  const has = upstreams.some(({ facts, isKnown }) => !isKnown || (facts !== undefined && makesTasks(facts)))
  if (!has) return {}
  return era === 'legacy'
    ? { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
    : { extensions: { [tasksExtension]: {} } }
}

function instructionsOf(directory: Directory): { readonly instructions?: string } {
  const said = directory.upstreams.flatMap(({ id, facts }) => {
    const instructions = facts?.instructions
    if (instructions === undefined || instructions === '') return []
    return [directory.isPrefixed ? `# ${id}\n${instructions}` : instructions]
  })
  return said.length === 0 ? {} : { instructions: said.join('\n\n') }
}

/** What a client says of itself in `initialize`, as JSON text. */
export function toldBy(message: Message): { readonly info: string; readonly capabilities: string } {
  const { text } = message
  const params = paramsOf(message)
  const object = (member: Member | undefined, otherwise: string) =>
    member !== undefined && isObjectAt(text, member) ? textOf(text, member) : otherwise
  return {
    info: object(params.get('clientInfo'), noInfo),
    capabilities: object(params.get('capabilities'), '{}'),
  }
}
