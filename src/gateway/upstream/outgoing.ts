import { type Edit, rebuilt, spliced, textOf } from '../protocol/json-text.ts'
import { messageText, metaOf, paramsOf } from '../protocol/message.ts'
import { type Era, envelopeKeys, metaKey, modernRevision } from '../protocol/revisions.ts'
import type { Call } from './call.ts'

/** A request of a client, ready for its server. */
export interface Outgoing {
  readonly text: string
  /** The client's own progress token, as JSON text; on the connection the number of the request stands for it. */
  readonly progressToken: string | undefined
}

/**
 * The text of a client's request as the server is to get it: with its number on this connection, the name that the server knows, and what the
 * generation of the server needs in `_meta`. Every other byte stays.
 * @param era of the server.
 */
export function outgoing(call: Call, id: number, era: Era): Outgoing {
  const { message, about, client } = call
  const { text } = message
  const params = paramsOf(message)
  const meta = metaOf(text, params)
  const token = meta.get('progressToken')
  const progressToken = token && textOf(text, token)
  const metaSet: Record<string, string> = token === undefined ? {} : { progressToken: String(id) }
  const set: Record<string, string> =
    about === undefined ? {} : { [about.parameter]: JSON.stringify(about.value) }
  const drop: string[] = []
  if (client.era === 'legacy' && era === 'modern') {
    metaSet[metaKey.protocolVersion] = JSON.stringify(modernRevision)
    metaSet[metaKey.clientInfo] = client.info
    metaSet[metaKey.clientCapabilities] = client.capabilities
    if (client.logLevel !== undefined) metaSet[metaKey.logLevel] = JSON.stringify(client.logLevel)
  }
  const foreign = client.era === 'modern' && era === 'legacy' ? envelopeKeys : []
  if (foreign.length > 0) drop.push('inputResponses', 'requestState')
  if (Object.keys(metaSet).length > 0 || foreign.some((key) => meta.has(key))) {
    const changed = rebuilt(text, meta, { set: metaSet, drop: foreign })
    if (changed === '{}') drop.push('_meta')
    else set._meta = changed
  }
  const { start, end } = message.id ?? { start: 0, end: 0 }
  const edits: Edit[] = [{ start, end, by: String(id) }]
  if (drop.some((key) => params.has(key)) || Object.keys(set).some((key) => !params.has(key))) {
    const changed = rebuilt(text, params, { set, drop })
    if (message.params === undefined)
      return { text: messageText(String(id), call.method, changed), progressToken }
    edits.push({ start: message.params.start, end: message.params.end, by: changed })
  } else {
    // What is there keeps its place.
    for (const [key, by] of Object.entries(set)) {
      const member = params.get(key)
      if (member !== undefined) edits.push({ start: member.start, end: member.end, by })
    }
  }
  return { text: spliced(text, edits), progressToken }
}
