import { isObjectAt, type Member, membersOf, rebuilt, stringIn, textOf } from './protocol/json-text.ts'
import { idOf, type Message, readMessage, resultText } from './protocol/message.ts'
import { type Era, metaKey, tasksExtension } from './protocol/revisions.ts'
import type { ServerFacts } from './upstream/handshake.ts'

// How a task is written in either generation, and how one form becomes the other. Older: `tasks/…` of 2025-11-25, where the client asks for a
// task and fetches its result by a request of its own. Newer: the extension of 2026-07-28, where the server decides, and result, error and
// questions stand in the task.

/** A JSON object that is a task: the text that it stands in, and its members. */
export interface TaskText {
  readonly text: string
  readonly members: ReadonlyMap<string, Member>
}

/** What a server says of a tool: whether calls of it may be, or must be tasks, in the older generation. */
export type TaskSupport = 'optional' | 'required'

/** The task that an answer is the handle of: under `task` in the older generation, the result itself in the newer one. */
export function taskIn({ text, result }: Message): TaskText | undefined {
  if (result === undefined || !isObjectAt(text, result)) return undefined
  const members = membersOf(text, result.start)
  if (stringIn(text, members, 'resultType') === 'task') return { text, members }
  const older = members.get('task')
  return older !== undefined && isObjectAt(text, older)
    ? { text, members: membersOf(text, older.start) }
    : undefined
}

export function statusIn({ text, members }: TaskText): string {
  return stringIn(text, members, 'status') ?? 'working'
}

/** It stays as it is for ever. */
export function isTerminal(status: string): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}

/** A task of the newer generation as JSON text of the older one. What that one asks for separately is left out. */
export function olderTask({ text, members }: TaskText): string {
  const drop = ['resultType', 'result', 'error', 'inputRequests', 'ttlMs', 'pollIntervalMs', '_meta']
  return rebuilt(text, members, {
    drop,
    set: renamed({ text, members }, { ttlMs: 'ttl', pollIntervalMs: 'pollInterval' }),
  })
}

/**
 * A task of the older generation as JSON text of the newer one.
 * @param more members that are added, as JSON text: result, error, questions, another status.
 */
export function newerTask({ text, members }: TaskText, more: Readonly<Record<string, string>> = {}): string {
  const set = renamed({ text, members }, { ttl: 'ttlMs', pollInterval: 'pollIntervalMs' })
  return rebuilt(text, members, {
    drop: ['ttl', 'pollInterval', '_meta'],
    set: { ttlMs: 'null', ...set, ...more },
  })
}

function renamed(
  { text, members }: TaskText,
  names: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(names).flatMap(([from, to]) => {
      const member = members.get(from)
      return member === undefined ? [] : [[to, textOf(text, member)]]
    }),
  )
}

/** An answer of one generation that is the handle of a task, as the other one has it; any other answer as it is. @param era of the client. */
export function handleFor(era: Era, answer: Message): Message {
  const task = taskIn(answer)
  if (task === undefined) return answer
  const result = era === 'legacy' ? `{"task":${olderTask(task)}}` : newerTask(task, { resultType: '"task"' })
  return readMessage(resultText(idOf(answer), result))
}

/** A result that says which task it is of, as the older generation wants it. @param text JSON text of an object. */
export function withRelatedTask(text: string, id: string): string {
  const members = membersOf(text)
  const meta = members.get('_meta')
  const related = { [metaKey.relatedTask]: JSON.stringify({ taskId: id }) }
  const inside = meta !== undefined && isObjectAt(text, meta) ? membersOf(text, meta.start) : new Map()
  return rebuilt(text, members, {
    drop: ['resultType'],
    set: { _meta: rebuilt(text, inside, { set: related }) },
  })
}

/** Whether a server makes tasks of calls of tools. */
export function makesTasks({ era, capabilities }: Pick<ServerFacts, 'era' | 'capabilities'>): boolean {
  return era === 'legacy'
    ? has(capabilities.tasks, 'requests', 'tools', 'call')
    : has(capabilities.extensions, tasksExtension)
}

function has(value: unknown, ...path: readonly string[]): boolean {
  let at = value
  for (const name of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return false
    at = (at as Readonly<Record<string, unknown>>)[name]
  }
  return at !== undefined && at !== null
}

/** What a client that knows tasks says, as JSON text. @param capabilities JSON text of what it says without. */
export function withTasks(capabilities: string): string {
  const { extensions, ...others } = JSON.parse(capabilities) as { readonly extensions?: object }
  return JSON.stringify({ ...others, extensions: { ...extensions, [tasksExtension]: {} } })
}

/** @param tool JSON text. */
export function taskSupportOf(tool: string): TaskSupport | undefined {
  // Most say nothing of it, and need not be parsed.
  if (!tool.includes('taskSupport')) return undefined
  const { execution } = JSON.parse(tool) as { readonly execution?: { readonly taskSupport?: unknown } | null }
  const support = execution?.taskSupport
  return support === 'optional' || support === 'required' ? support : undefined
}

/**
 * A tool as clients of a generation get it: the older one reads from it that calls may be tasks, the newer one does not know that.
 * @param tool JSON text. @param server whose it is.
 */
export function toolFor(era: Era, tool: string, server: Pick<ServerFacts, 'era' | 'capabilities'>): string {
  if (era === server.era) return tool
  if (era === 'modern')
    return taskSupportOf(tool) === undefined ? tool : rebuilt(tool, membersOf(tool), { drop: ['execution'] })
  if (!makesTasks(server)) return tool
  return rebuilt(tool, membersOf(tool), { set: { execution: '{"taskSupport":"optional"}' } })
}
