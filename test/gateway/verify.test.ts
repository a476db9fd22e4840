// `mcp-proxy verify` and `npm run verify`: in front of the gateway, and of a server that lets everybody in.
import { spawn } from 'node:child_process'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Verified } from '../../src/gateway/verify/index.ts'
import { child, type ServedGateway, served } from '../support/gateway.ts'
import { cached, checkout, freePort, run, until } from '../support/tools.ts'
import { command, Watched } from '../support/watched.ts'

const watched = new Watched()
let gateway: ServedGateway

beforeAll(async () => {
  gateway = await served(watched, { own: child() })
})

afterAll(() => watched.remove())

async function verified(words: readonly string[], key = '') {
  const asked = command('mcp-proxy', 'verify', '--json', '--state-dir', watched.directory, ...words)
  const { code, stdout, stderr } = await run(['env', `TEST_API_KEY=${key}`, ...asked])
  const lines = stdout.split('\n').filter((line) => line !== '')
  const all = lines.map((line) => JSON.parse(line) as Verified)
  return { code, stderr, of: Object.fromEntries(all.map(({ check, ...one }) => [check, one])) }
}

describe('mcp-proxy verify', () => {
  it('passes for the gateway that runs, with the key of its first start', async () => {
    const { code, of } = await verified(['--call', 'own__pid'])
    const outcomes = Object.entries(of).map(([check, { outcome }]) => [check, outcome])
    expect([code, Object.fromEntries(outcomes)]).toEqual([
      0,
      {
        'no-key': 'passed',
        'foreign-origin': 'passed',
        'foreign-host': 'passed',
        initialize: 'passed',
        ping: 'passed',
        tools: 'passed',
        prompts: 'noted',
        resources: 'passed',
        call: 'passed',
        stream: 'passed',
        'session-end': 'passed',
        discover: 'passed',
        'modern-tools': 'passed',
      },
    ])
    expect(of.call?.detail).toMatch(/^own__pid: \d+$/)
  })

  it('fails with a wrong key, and where nobody answers', async () => {
    const wrong = await verified([`${gateway.url}/mcp`], 'wrong')
    expect([wrong.code, wrong.of.initialize?.outcome, wrong.of.discover?.outcome]).toEqual([
      1,
      'failed',
      'failed',
    ])
    const nobody = await verified([`http://127.0.0.1:${await freePort()}/mcp`])
    expect([nobody.code, nobody.stderr]).toEqual([69, expect.stringContaining('cannot be reached')])
  })

  it('says that pages of other sites can use the reference server', async ({ onTestFinished }) => {
    const file = cached('everything', '@modelcontextprotocol/server-everything', 'dist/index.js')
    const port = await freePort()
    const server = spawn(process.execPath, [file, 'streamableHttp'], {
      stdio: 'ignore',
      env: { ...process.env, PORT: String(port) },
    })
    onTestFinished(() => void server.kill('SIGKILL'))
    const url = `http://127.0.0.1:${port}/mcp`
    await until('it listens', async () => (await fetch(url)).status)
    const { code, of } = await verified([url])
    expect([code, of['foreign-origin']?.outcome, of['no-key']?.outcome, of.tools?.outcome]).toEqual([
      1,
      'failed',
      'noted',
      'passed',
    ])
  })
})

it('npm run verify asks with the Inspector, too', async () => {
  const script = path.join(checkout, 'scripts', 'verify')
  const { code, stdout } = await run(['env', `TEST_API_KEY=${gateway.key}`, script, `${gateway.url}/mcp`])
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/MCP Inspector 2\.[\d.]+\n✓ tools\/list +10 tools\n$/),
  ])
})
