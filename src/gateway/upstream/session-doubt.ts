import type { IncomingMessage } from 'node:http'
import { readMessage } from '../protocol/message.ts'
import { bodyOf } from './http-exchange.ts'
import { longestMessage } from './limits.ts'

/** The protocol says 404 for a session that is not known. Servers also say 400, or 200 with an error of one of these codes. */
const codesOfLostSessions: readonly unknown[] = [-32_000, -32_001, -32_600]

/** ms that a sign of life may take. */
const signMs = 3000

/** Whether an answer within a session may mean that the server does not know it. Tools have errors of these codes, too. */
export function isDoubtful(status: number, text: string): boolean {
  return status === 400 || codesOfLostSessions.includes(codeIn(text))
}

/** Whether the answer to a ping shows that the server knows the session. One that is not told in time does not show the contrary. */
export async function knewSession(response: IncomingMessage): Promise<boolean> {
  const status = response.statusCode ?? 0
  const late = setTimeout(() => response.destroy(), signMs)
  try {
    const body = await bodyOf(response, longestMessage)
    const [, event = body] = /^data: ?(.*)$/m.exec(body) ?? []
    return status !== 404 && !isDoubtful(status, event)
  } catch {
    return true
  } finally {
    clearTimeout(late)
  }
}

function codeIn(text: string): unknown {
  if (!text.includes('"error"')) return undefined
  try {
    const { error } = readMessage(text)
    return error === undefined
      ? undefined
      : (JSON.parse(text.slice(error.start, error.end)) as { code?: unknown }).code
  } catch {
    return undefined
  }
}
