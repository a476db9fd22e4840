// As what the tools of a connector are offered: under which names, with which descriptions, in which order.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { child, configured, LineClient, type RpcAnswer } from '../support/gateway.ts'
import { Watched } from '../support/watched.ts'

const watched = new Watched()
let client: LineClient

const offer = {
  allow: ['echo', 'pid', 'write', 'slow'],
  hide: 'sl*',
  prefix: 'a',
  rename: { write: 'save', pid: 'echo' },
  describe: { echo: 'says it again: "so"' },
}

beforeAll(async () => {
  const connectors = {
    first: { ...child(), tools: offer },
    second: { ...child(), tools: { allow: ['echo', 'write'], prefix: false } },
    third: { ...child(), tools: { allow: 'write', prefix: false } },
  }
  client = new LineClient(watched, '--all', '--config', configured(watched, connectors))
  await client.initialize()
})

afterAll(async () => {
  await client.end()
  await watched.remove()
})

const call = async (name: string) =>
  (await client.ask(name, 'tools/call', { name })).result?.content?.[0]?.text ?? ''

it('lists each under the name that it is given, once, and those of the same name with a hash', async () => {
  const { result } = await client.ask('list', 'tools/list')
  const names = result?.tools?.map(({ name }) => name)
  expect(names).toEqual([
    'a__echo',
    expect.stringMatching(/^a__echo_[0-9a-f]{8}$/),
    'a__save',
    'echo',
    'write',
    expect.stringMatching(/^write_[0-9a-f]{8}$/),
  ])
  const listed = (result?.tools ?? []) as readonly { description?: string }[]
  const described = listed.map(({ description }) => description)
  expect(described.slice(0, 3)).toEqual(['says it again: "so"', 'the pid tool', 'the write tool'])
  // The same in the same order at every time.
  expect((await client.ask('again', 'tools/list')).result?.tools).toEqual(result?.tools)
})

it('leads each of these names, and that of a hidden tool, to its server under the name that this one knows', async () => {
  const { result } = await client.ask('names', 'tools/list')
  const [echo = '', pid = ''] = result?.tools?.map(({ name }) => name) ?? []
  expect(await call(echo)).toContain('"name":"echo"')
  expect(Number(await call(pid))).toBeGreaterThan(0)
  expect(await call('a__save')).toBe('write')
  expect(await call('a__slow')).toBe('slept')
  expect(await call('write')).toBe('write')
  const denied: RpcAnswer = await client.ask('denied', 'tools/call', { name: 'a__environment' })
  expect(denied.error?.code).toBe(-32_602)
})

it('is what mcp-proxy call understands by the name of the server', async () => {
  const { stdout } = await watched.run(
    'mcp-proxy',
    'call',
    'first',
    'write',
    '--config',
    watched.file('connectors.json'),
  )
  expect(stdout).toBe('write\n')
})
