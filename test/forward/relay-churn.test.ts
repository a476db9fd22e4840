// Random connections through real forwarders, both ends scripted: long by CHURN_SECONDS, the same again by CHURN_SEED.
import assert from 'node:assert/strict'
import net, { type Socket } from 'node:net'
import { describe, it } from 'vitest'
import type { AccessRecord } from '../../src/forward/access-record.ts'
import { resetSocket } from '../../src/forward/relay/reset.ts'
import { openBlackHole } from '../support/black-hole.ts'
import {
  connectHalfOpen,
  descriptorsOf,
  type PairScript,
  type PlayedEnd,
  playEnd,
  processorMsOf,
  randomNumbers,
  randomPair,
} from '../support/churn.ts'
import { type ForwarderProcess, startTcpProxy } from '../support/forwarder-process.ts'

const seconds = Number(process.env.CHURN_SECONDS ?? 1)
const firstSeed = Number(process.env.CHURN_SEED ?? Math.floor(Math.random() * 2 ** 31))

const atOnce = 24
/** The client's first bytes say which pair it is of. */
const preambleBytes = 4
/** PROXY v2 of an IPv4 connection. */
const proxyHeaderBytes = 28

type AtAccept = 'plays' | 'resets' | 'closes'

interface Pair {
  readonly number: number
  readonly script: PairScript
  source?: string
  left?: boolean
  client?: PlayedEnd
  target?: PlayedEnd
}

/** A target that plays its part of each pair. */
class ScriptedTarget {
  readonly pairs: Pair[] = []
  port = 0
  readonly #headerBytes: number
  readonly #playing = new Set<Promise<unknown>>()
  #server = this.#makeServer()
  #acceptScript: () => AtAccept

  constructor(headerBytes: number, acceptScript: () => AtAccept) {
    this.#headerBytes = headerBytes
    this.#acceptScript = acceptScript
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen({ port: this.port, host: '127.0.0.1', backlog: 512 }, resolve)
    })
    this.port = (this.#server.address() as net.AddressInfo).port
  }

  /** Stops listening for a moment; its connections go on. */
  async restart(ms: number): Promise<void> {
    this.#server.close()
    this.#server = this.#makeServer()
    await new Promise((resolve) => setTimeout(resolve, ms))
    await this.listen()
  }

  close(): void {
    this.#server.close()
  }

  async finished(): Promise<void> {
    await Promise.all(this.#playing)
  }

  #makeServer(): net.Server {
    return net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const played = this.#play(socket).finally(() => this.#playing.delete(played))
      this.#playing.add(played)
    })
  }

  async #play(socket: Socket): Promise<void> {
    socket.on('error', () => {})
    const atAccept = this.#acceptScript()
    if (atAccept === 'resets') return resetSocket(socket)
    if (atAccept === 'closes') return void socket.destroy()
    const head = await readExactly(socket, this.#headerBytes + preambleBytes)
    if (head === undefined) return void socket.destroy()
    const pair = this.pairs[head.readUInt32BE(this.#headerBytes)]
    assert.ok(pair, 'a pair that there is not')
    const { number, script } = pair
    pair.target = await playEnd(socket, script.target, { send: 2 * number + 1, receive: 2 * number })
  }
}

function readExactly(socket: Socket, length: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let got = Buffer.alloc(0)
    const finish = (head: Buffer | undefined) => {
      for (const event of ['end', 'close']) socket.off(event, gone)
      socket.off('readable', read)
      resolve(head)
    }
    const gone = () => finish(undefined)
    const read = () => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read()) {
        got = Buffer.concat([got, chunk])
      }
      if (got.length < length) return
      finish(got.subarray(0, length))
      if (got.length > length) socket.unshift(got.subarray(length))
    }
    socket.on('readable', read).on('end', gone).on('close', gone)
  })
}

async function playClient(port: number, pair: Pair): Promise<void> {
  const socket = await connectHalfOpen(port)
  if (socket === undefined) return
  const { number, script } = pair
  pair.source = `127.0.0.1:${socket.localPort}`
  const preamble = Buffer.alloc(preambleBytes)
  preamble.writeUInt32BE(number)
  socket.write(preamble)
  const leave = () => {
    pair.left = true
    resetSocket(socket)
  }
  const timer = script.leavesAfter === undefined ? undefined : setTimeout(leave, script.leavesAfter)
  pair.client = await playEnd(socket, script.client, { send: 2 * number, receive: 2 * number + 1 })
  clearTimeout(timer)
}

/** Keeps so many pairs going until there is enough. */
async function churn(
  port: number,
  target: ScriptedTarget,
  random: () => number,
  isOver: () => boolean,
): Promise<void> {
  const runner = async () => {
    while (!isOver()) {
      const pair: Pair = { number: target.pairs.length, script: randomPair(random) }
      target.pairs.push(pair)
      await playClient(port, pair)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, runner))
}

/** What must hold of every pair, whatever happened to it. */
function judge(pairs: readonly Pair[], records: readonly AccessRecord[], mustFinish: boolean): string[] {
  const problems: string[] = []
  const bySource = groupBySource(records)
  for (const pair of pairs) {
    const { number, script, client, target } = pair
    const say = (what: string) =>
      problems.push(`pair ${number}: ${what}; ${JSON.stringify({ script, client, target, left: pair.left })}`)
    if (client?.wrong !== undefined) say(`the client got ${client.wrong}`)
    if (target?.wrong !== undefined) say(`the target got ${target.wrong}`)
    const clientReset = client?.didReset === true || pair.left === true
    if (target?.gotFinFirst && clientReset && !client?.finished)
      say('a reset of the client looked like its end')
    if (client?.gotFinFirst && target?.didReset) say('a reset of the target looked like its end')
    if (target?.gotFinFirst && target.received !== client?.sent) say('a FIN came before all bytes')
    if (client?.finIsCertain && target?.finished && client.received !== target.sent)
      say('a FIN came before all bytes')
    const finishes =
      script.client.ending === 'fin' && script.target.ending === 'fin' && script.leavesAfter === undefined
    if (!mustFinish || !finishes) continue
    if (!client?.finished || !client.gotFin || !target?.finished || !target.gotFin) {
      say('it did not finish')
      continue
    }
    const fits = bySource
      .get(pair.source ?? '')
      ?.some(
        (record) =>
          record.code === '--' &&
          record.bytesFromClient === client.sent + preambleBytes &&
          record.bytesFromTarget === target.sent,
      )
    if (!fits) say(`no record of that: ${JSON.stringify(bySource.get(pair.source ?? ''))}`)
  }
  const ids = records.map(({ id }) => id).sort((a, b) => a - b)
  const odd = ids.find((id, index) => id !== index + 1)
  if (odd !== undefined) problems.push(`record ${odd} is told twice, or the one before is missing`)
  for (const record of records) {
    if (record.totalMs > 60_000) problems.push(`it hung: ${JSON.stringify(record)}`)
  }
  return problems
}

function groupBySource(records: readonly AccessRecord[]): Map<string, AccessRecord[]> {
  const groups = new Map<string, AccessRecord[]>()
  for (const record of records) groups.set(record.source, [...(groups.get(record.source) ?? []), record])
  return groups
}

/** Nothing is open any more, everything was counted, and it rests. */
async function judgeAtRest(forwarder: ForwarderProcess, descriptorsBefore: number): Promise<string[]> {
  const problems: string[] = []
  let health = await forwarder.health()
  for (const began = Date.now(); health.connections.open > 0 && Date.now() - began < 10_000; ) {
    health = await forwarder.health()
  }
  if (health.connections.open > 0) problems.push(`${health.connections.open} connections are left open`)
  const { ended } = health.connections
  const endedCount = Object.values(ended).reduce((sum, count) => sum + count, 0)
  const records = await forwarder.records.count(endedCount)
  if (records.length !== endedCount) problems.push(`${records.length} records of ${endedCount} that ended`)
  const sum = (key: 'bytesFromClient' | 'bytesFromTarget') =>
    records.reduce((total, record) => total + record[key], 0)
  if (sum('bytesFromClient') !== health.bytes.fromClients) problems.push('bytes from clients do not sum up')
  if (sum('bytesFromTarget') !== health.bytes.fromTarget) problems.push('bytes from the target do not sum up')
  let descriptors = descriptorsOf(forwarder.child)
  for (const began = Date.now(); descriptors > descriptorsBefore && Date.now() - began < 5_000; ) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    descriptors = descriptorsOf(forwarder.child)
  }
  if (descriptors > descriptorsBefore)
    problems.push(`${descriptors} descriptors, ${descriptorsBefore} before`)
  const before = processorMsOf(forwarder.child)
  await new Promise((resolve) => setTimeout(resolve, 500))
  const used = processorMsOf(forwarder.child) - before
  if (used > 200) problems.push(`${used} ms of processor time in 500 ms of rest`)
  for (const line of forwarder.lines.all) {
    if (/\berror\b|warning|exception|assert|undefined|NaN/i.test(line)) problems.push(`it said: ${line}`)
  }
  return problems
}

interface Way {
  readonly name: string
  readonly options: readonly string[]
  /** Pairs whose scripts end well must end well. */
  readonly mustFinish: boolean
  readonly headerBytes?: number
  readonly moody?: boolean
  readonly restarts?: boolean
  readonly silent?: boolean
}

const ways: readonly Way[] = [
  { name: 'plain', options: [], mustFinish: true },
  {
    name: 'with steps on both sides, which take the handles out of sockets',
    options: ['--send-proxy', 'v2', '--first-byte-timeout', '5s'],
    mustFinish: true,
    headerBytes: proxyHeaderBytes,
  },
  { name: 'to a target that restarts', options: [], mustFinish: false, restarts: true },
  {
    name: 'with limits, to a target that resets and closes',
    options: ['--max-connections', '12', '--idle-timeout', '150ms', '--half-close-timeout', '100ms'],
    mustFinish: false,
    moody: true,
  },
  { name: 'to a silent target', options: ['--connect-timeout', '500ms'], mustFinish: false, silent: true },
]

describe('connections that come, go and break at random', { timeout: 60_000 + seconds * 10_000 }, () => {
  for (const [index, way] of ways.entries()) {
    it(`${way.name}: one record each, whole bytes, no descriptor kept`, async () => {
      const seed = firstSeed + index
      const random = randomNumbers(seed)
      const target = new ScriptedTarget(way.headerBytes ?? 0, () =>
        way.moody !== true || random() < 0.7 ? 'plays' : random() < 0.5 ? 'resets' : 'closes',
      )
      await target.listen()
      const hole = way.silent ? await openBlackHole() : undefined
      const options = ['--target-check', '0', '--drain', '300ms', ...way.options]
      const forwarder = await startTcpProxy(`127.0.0.1 ${hole?.port ?? target.port}`, options)
      // The first connections open what stays open: the access log, the socket table's readers.
      await churn(forwarder.port, target, random, () => target.pairs.length >= atOnce)
      await forwarder.health()
      const descriptorsBefore = await leastDescriptors(forwarder)
      const end = Date.now() + seconds * 1000
      const isOver = () => Date.now() > end
      const restarting = (async () => {
        while (way.restarts && !isOver()) {
          await new Promise((resolve) => setTimeout(resolve, 50 + random() * 200))
          await target.restart(random() * 600)
        }
      })()
      await churn(forwarder.port, target, random, isOver)
      await restarting
      await target.finished()
      const problems = [
        ...(await judgeAtRest(forwarder, descriptorsBefore)),
        ...judge(target.pairs, forwarder.records.all, way.mustFinish),
      ]

      let told = false
      const last = target.pairs.length + 30
      await churn(forwarder.port, target, random, () => {
        if (!told && target.pairs.length >= last) {
          told = true
          forwarder.child.kill('SIGTERM')
        }
        return told
      })
      const exit = await forwarder.exited
      if (exit !== 0) problems.push(`it ended with ${exit}`)
      await target.finished()
      problems.push(...judge(target.pairs, forwarder.records.all, false))

      target.close()
      await hole?.close()
      await forwarder.close()
      if (process.env.CHURN_SECONDS) {
        const codes: Record<string, number> = {}
        for (const { code } of forwarder.records.all) codes[code] = (codes[code] ?? 0) + 1
        console.log(way.name, target.pairs.length, 'pairs', JSON.stringify(codes))
      }
      assert.deepEqual(problems.slice(0, 5), [], `CHURN_SEED=${firstSeed}, ${problems.length} problems`)
    })
  }
})

/** What it has when nothing is open. */
async function leastDescriptors(forwarder: ForwarderProcess): Promise<number> {
  for (let open = 1; open > 0; ) open = (await forwarder.health()).connections.open
  return descriptorsOf(forwarder.child)
}
