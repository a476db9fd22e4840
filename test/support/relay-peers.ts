import { once } from 'node:events'
import net from 'node:net'
import type { RelayTotals } from '../../src/forward/relay/direction.ts'
import { isResetInDisguise } from '../../src/forward/relay/libuv.ts'
import { type Relay, type RelayEnd, type RelayLimits, startRelay } from '../../src/forward/relay/relay.ts'
import type { RelaySocket } from '../../src/forward/relay/relay-socket.ts'
import { relaySocketOf, StreamSocket } from '../../src/forward/relay/stream-socket.ts'

/** The kinds of sockets a relay may be given. */
export const ways = { bare: relaySocketOf, stream: (socket: net.Socket) => new StreamSocket(socket) }
export type Way = keyof typeof ways

export const noLimits: RelayLimits = { idleTimeoutMs: 0, halfCloseTimeoutMs: 0 }

/** A relay between two peers of ours, all over real sockets. */
export interface Relayed {
  /** The peer that connected to the forwarder. */
  client: net.Socket
  /** The peer that the forwarder connected to. */
  target: net.Socket
  relay: Relay
  /** The forwarder's own ends. */
  ends: { client: RelaySocket; target: RelaySocket }
  ended: Promise<RelayEnd>
}

export interface Bench {
  totals: RelayTotals
  /** The forwarder's listener. */
  server: net.Server
  connect(limits?: Partial<RelayLimits>): Promise<Relayed>
  /** Also ends what a failed test has left open, so that it fails instead of hanging. */
  close(): Promise<void>
}

/** A listening forwarder without any policy, and a listening target. */
export async function openBench(way: Way, options: { targetPath?: string } = {}): Promise<Bench> {
  const totals: RelayTotals = { bytesFromClient: 0, bytesFromTarget: 0 }
  const targetServer = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
  targetServer.listen(options.targetPath ?? { port: 0, host: '127.0.0.1' })
  await once(targetServer, 'listening')
  const server = net.createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    pauseOnConnect: true,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const peers = new Set<net.Socket>()
  const relays = new Set<Relay>()

  // One after the other, so that what connects is what is accepted.
  let previous: Promise<unknown> = Promise.resolve()
  function connect(limits: Partial<RelayLimits> = {}): Promise<Relayed> {
    const next = previous.then(() => connectOne(limits))
    previous = next
    return next
  }

  async function connectOne(limits: Partial<RelayLimits>): Promise<Relayed> {
    const clientPeer = net.connect({ ...tcpAddress(server), allowHalfOpen: true, noDelay: true })
    const [[accepted]] = (await Promise.all([once(server, 'connection'), once(clientPeer, 'connect')])) as [
      [net.Socket],
      unknown,
    ]
    const to = options.targetPath ? { path: options.targetPath } : tcpAddress(targetServer)
    const dialled = net.connect({ ...to, allowHalfOpen: true, noDelay: true, keepAlive: true })
    let relay: Relay | undefined
    let ends: Relayed['ends'] | undefined
    const ended = new Promise<RelayEnd>((resolve) => {
      dialled.once('connect', () => {
        ends = { client: ways[way](accepted), target: ways[way](dialled) }
        relay = startRelay(ends.client, ends.target, { ...noLimits, ...limits }, totals, resolve)
      })
    })
    const [[targetPeer]] = (await Promise.all([
      once(targetServer, 'connection'),
      once(dialled, 'connect'),
    ])) as [[net.Socket], unknown]
    if (!relay || !ends) throw new Error('no relay')
    peers.add(clientPeer).add(targetPeer)
    relays.add(relay)
    return {
      client: clientPeer.pause(),
      target: targetPeer,
      relay,
      ends,
      ended,
    }
  }

  async function close(): Promise<void> {
    for (const peer of peers) peer.on('error', () => {}).destroy()
    for (const relay of relays) relay.stop()
    await Promise.all([server, targetServer].map((each) => new Promise((resolve) => each.close(resolve))))
  }

  return { totals, server, connect, close }
}

function tcpAddress(server: net.Server): { host: string; port: number } {
  return { host: '127.0.0.1', port: (server.address() as net.AddressInfo).port }
}

/** What a peer saw: everything until FIN or an error. */
export interface Received {
  bytes: Buffer
  /** 'FIN', or the code of the error that ended it. */
  end: string
}

export async function receive(socket: net.Socket): Promise<Received> {
  const chunks: Buffer[] = []
  const end = new Promise<string>((resolve) => {
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    // The peers run on a Node, too, that may take a reset for an end.
    socket.once('end', () => resolve(isResetInDisguise(socket) ? 'ECONNRESET' : 'FIN'))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.resume()
  })
  return { end: await end, bytes: Buffer.concat(chunks) }
}

const LONGEST_WAIT_MS = 60_000

/** ms in which the loop goes round without a rest, for what is over within a few turns. A longer wait takes no core from others. */
const WITHOUT_REST_MS = 5

/**
 * Lets the event loop turn until the condition holds.
 * @throws after a minute: the loop of a test that the runner has given up would go on for ever.
 */
export async function until(condition: () => boolean): Promise<void> {
  const began = performance.now()
  while (!condition()) {
    const waited = performance.now() - began
    if (waited > LONGEST_WAIT_MS) throw new Error(`waited in vain until ${condition}`)
    await new Promise<void>((resolve) => {
      if (waited < WITHOUT_REST_MS) setImmediate(resolve)
      else setTimeout(resolve, 2)
    })
  }
}
