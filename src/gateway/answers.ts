import { isObjectAt, membersOf, rebuilt, stringIn, textOf, withMembers } from './protocol/json-text.ts'
import { type Message, paramsOf, readMessage, resultText, withId } from './protocol/message.ts'
import type { Era } from './protocol/revisions.ts'

// What must change in a message that goes from one generation to the other.

/** The answer of a server as the client gets it: under its id, and with what its generation needs besides. */
export function finished(answer: Message, id: string, client: Era, server: Era, method: string): string {
  if (client === 'legacy' || server === 'modern' || answer.result === undefined) return withId(answer, id)
  const { text, result } = answer
  if (!isObjectAt(text, result)) return withId(answer, id)
  const members = membersOf(text, result.start)
  const added = [
    ...(members.has('resultType') ? [] : ['"resultType":"complete"']),
    ...(method !== 'resources/read' || members.has('ttlMs') ? [] : ['"ttlMs":0']),
    ...(method !== 'resources/read' || members.has('cacheScope') ? [] : ['"cacheScope":"private"']),
  ]
  if (added.length === 0) return withId(answer, id)
  const whole = withMembers(textOf(text, result), added.join(','))
  return resultText(id, whole)
}

/** What a server of the newer generation asks for in its answer; undefined when it is an answer. */
export function inputIn({ text, result }: Message) {
  if (result === undefined || !isObjectAt(text, result) || !text.includes('input_required')) return undefined
  const members = membersOf(text, result.start)
  if (stringIn(text, members, 'resultType') !== 'input_required') return undefined
  const requests = new Map<string, { readonly method: string; readonly params: string | undefined }>()
  const asked = members.get('inputRequests')
  if (asked !== undefined && isObjectAt(text, asked)) {
    for (const [key, request] of membersOf(text, asked.start)) {
      const parts = membersOf(text, request.start)
      const params = parts.get('params')
      requests.set(key, {
        method: stringIn(text, parts, 'method') ?? '',
        params: params && textOf(text, params),
      })
    }
  }
  const state = members.get('requestState')
  return { requests, state: state && textOf(text, state) }
}

/** The results that a client sends with a call again, as JSON text. */
export function responsesIn(message: Message): ReadonlyMap<string, string> {
  const { text } = message
  const member = paramsOf(message).get('inputResponses')
  if (member === undefined || !isObjectAt(text, member)) return new Map()
  return new Map([...membersOf(text, member.start)].map(([key, value]) => [key, textOf(text, value)]))
}

/** A request with another value for a parameter. @param value as JSON text. */
export function withParam(message: Message, name: string, value: string): Message {
  const { text, params } = message
  if (params === undefined) return message
  const changed = rebuilt(text, paramsOf(message), { set: { [name]: value } })
  return readMessage(text.slice(0, params.start) + changed + text.slice(params.end))
}
