// Servers are killed and the gateway is handed over while clients call: every call is answered, and rightly. scripts/soak-gateway does more.
import { readFileSync } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { child, childrenOf, LineClient } from '../support/gateway.ts'
import { giveTo } from '../support/ordered.ts'
import { runningAs, writePrograms } from '../support/programs.ts'
import { freePort } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

const counted = (name: string, usual: number) => Number(process.env[name] ?? usual)
const calls = counted('GATEWAY_CALLS', 60)
const kills = counted('GATEWAY_KILLS', 6)
const handovers = counted('GATEWAY_HANDOVERS', 2)

/** ms that one call takes at its server. */
const callMs = 50

/** ms between a kill or handover and the next. */
const pauseMs = 100

const connectors = ['one', 'two', 'three']

type Ask = (name: string, args: object) => Promise<string>

async function overHttp(url: string, key: string, era: 'legacy' | 'modern'): Promise<[Ask, Client]> {
  const client = new Client(
    { name: `sdk-${era}`, version: '1' },
    era === 'modern' ? { versionNegotiation: { mode: 'auto' } } : {},
  )
  const requestInit = { headers: { 'x-api-key': key } }
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }))
  const ask: Ask = async (name, args) => {
    const { content } = await client.callTool({ name, arguments: { ...args } })
    return (content as { text?: string }[])[0]?.text ?? JSON.stringify(content)
  }
  return [ask, client]
}

async function overStdio(watched: Watched, file: string): Promise<[Ask, LineClient]> {
  const client = new LineClient(watched, '--all', '--config', file)
  await client.initialize()
  let last = 0
  const ask: Ask = async (name, args) => {
    const answer = await client.ask(++last, 'tools/call', { name, arguments: args })
    return answer.result?.content?.[0]?.text ?? JSON.stringify(answer)
  }
  return [ask, client]
}

it('loses no call', { timeout: 60_000 + (calls + 100 * kills + 1000 * handovers) * 10 }, async ({
  watched,
}) => {
  const listen = `127.0.0.1:${await freePort()}`
  // They are killed more often than a server may fail that is to be kept alive.
  const restart = { backoff: '10ms', backoffLimit: '50ms', flappingRestarts: 1000 }
  const servers = Object.fromEntries(connectors.map((name) => [name, { ...child(), restart }]))
  const file = writePrograms(watched, [], { connectors: servers, gateway: { http: { listen } } })
  await watched.start('proxy-monitor', '--config', file).line(/Monitor started/)
  let gateway = await runningAs(watched, 'gateway')
  const key = readFileSync(watched.file('mcp_proxy_key'), 'utf8').trim()
  const url = `http://${listen}/mcp`
  const [legacy, one] = await overHttp(url, key, 'legacy')
  const [modern, two] = await overHttp(url, key, 'modern')
  const [stdio, three] = await overStdio(watched, file)
  const session = (one.transport as StreamableHTTPClientTransport).sessionId

  let killed = 0
  let handedOver = 0
  let isDisturbed = true
  const disturbing = (async () => {
    const every = Math.max(1, Math.floor(kills / Math.max(1, handovers)))
    while (killed < kills || handedOver < handovers) {
      await after(pauseMs)
      if (handedOver < handovers && killed >= every * (handedOver + 1)) {
        const [unit] = await giveTo(watched, 'hand-over', { units: ['gateway'] })
        expect(unit).toMatchObject({ outcome: 'done' })
        gateway = await runningAs(watched, 'gateway', gateway)
        handedOver++
        continue
      }
      const victims = childrenOf(gateway)
      const victim = victims[killed % Math.max(1, victims.length)]
      if (victim === undefined) continue
      process.kill(victim, 'SIGKILL')
      killed++
    }
    isDisturbed = false
  })()

  let number = 0
  const wrong: string[] = []
  const ask = async (how: string, call: Ask) => {
    while (number < calls || isDisturbed) {
      const n = ++number
      const name = `${connectors[n % connectors.length]}__echo`
      const answer = await call(name, { n, ms: callMs }).catch((error: unknown) => String(error))
      if (!answer.includes(`"n":${n},`)) wrong.push(`${how} ${n} ${name}: ${answer}`)
    }
  }
  await Promise.all([
    ask('legacy', legacy),
    ask('legacy', legacy),
    ask('modern', modern),
    ask('modern', modern),
    ask('stdio', stdio),
    ask('stdio', stdio),
    disturbing,
  ])
  expect(wrong).toEqual([])
  expect({ killed, handedOver }).toEqual({ killed: kills, handedOver: handovers })
  expect(number).toBeGreaterThanOrEqual(calls)
  // It is the session with which it began.
  expect((one.transport as StreamableHTTPClientTransport).sessionId).toBe(session)
  await Promise.all([one.close(), two.close(), three.end()])
  process.stdout.write(`${number} calls, ${killed} kills, ${handedOver} handovers\n`)
})
