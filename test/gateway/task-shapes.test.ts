// A task in either generation, and tools and capabilities as each one tells of them.
import { describe, expect, it } from 'vitest'
import { readMessage } from '../../src/gateway/protocol/message.ts'
import {
  handleFor,
  makesTasks,
  taskIn,
  toolFor,
  withRelatedTask,
  withTasks,
} from '../../src/gateway/task-shapes.ts'

const extension = 'io.modelcontextprotocol/tasks'
const times = { createdAt: '2026-01-04T16:30:00Z', lastUpdatedAt: '2026-01-04T16:30:01Z' }
const older = {
  taskId: 'a',
  status: 'working',
  statusMessage: 'at it',
  ...times,
  ttl: 60_000,
  pollInterval: 500,
}
const newer = {
  resultType: 'task',
  taskId: 'a',
  status: 'working',
  statusMessage: 'at it',
  ...times,
  ttlMs: 60_000,
  pollIntervalMs: 500,
}

const answer = (result: object) => readMessage(JSON.stringify({ jsonrpc: '2.0', id: 7, result }))
const translated = (era: 'legacy' | 'modern', result: object) =>
  JSON.parse(handleFor(era, answer(result)).text) as object

describe('the handle of a task', () => {
  it('becomes that of the other generation, under the same id', () => {
    expect(translated('legacy', newer)).toEqual({ jsonrpc: '2.0', id: 7, result: { task: older } })
    expect(translated('modern', { task: older })).toEqual({ jsonrpc: '2.0', id: 7, result: newer })
  })

  it('names no end where the older one has none', () => {
    const { ttl: _, ...endless } = older
    expect(translated('modern', { task: endless })).toMatchObject({ result: { ttlMs: null } })
  })

  it('is found in no other answer, which stays', () => {
    const plain = answer({ content: [], task: 'tidy up' })
    expect(taskIn(plain)).toBeUndefined()
    expect(handleFor('legacy', plain)).toBe(plain)
  })
})

describe('what else differs', () => {
  it('a result says which task it is of, and keeps what else it says', () => {
    const result = withRelatedTask('{"resultType":"complete","content":[],"_meta":{"a":1}}', 'a')
    const related = { 'io.modelcontextprotocol/related-task': { taskId: 'a' } }
    expect(JSON.parse(result)).toEqual({ content: [], _meta: { a: 1, ...related } })
  })

  it('a server makes tasks of calls when it says so in the words of its generation', () => {
    const calls = { tasks: { requests: { tools: { call: {} } } } }
    const extended = { extensions: { [extension]: {} } }
    expect(makesTasks({ era: 'legacy', capabilities: calls })).toBe(true)
    expect(makesTasks({ era: 'legacy', capabilities: { tasks: { list: {} }, ...extended } })).toBe(false)
    expect(makesTasks({ era: 'modern', capabilities: extended })).toBe(true)
    expect(makesTasks({ era: 'modern', capabilities: calls })).toBe(false)
  })

  it('a client of the older generation says that it knows tasks, besides all that it says', () => {
    expect(JSON.parse(withTasks('{"sampling":{},"extensions":{"x":{}}}'))).toEqual({
      sampling: {},
      extensions: { x: {}, [extension]: {} },
    })
  })

  it('a tool tells of tasks in the older generation alone', () => {
    const tool = '{"name":"a","execution":{"taskSupport":"required"}}'
    const capabilities = { extensions: { [extension]: {} } }
    expect(toolFor('modern', tool, { era: 'legacy', capabilities: {} })).toBe('{"name":"a"}')
    expect(toolFor('legacy', tool, { era: 'legacy', capabilities: {} })).toBe(tool)
    expect(JSON.parse(toolFor('legacy', '{"name":"a"}', { era: 'modern', capabilities }))).toEqual({
      name: 'a',
      execution: { taskSupport: 'optional' },
    })
    expect(toolFor('legacy', '{"name":"a"}', { era: 'modern', capabilities: {} })).toBe('{"name":"a"}')
  })
})
