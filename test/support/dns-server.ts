import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { Told } from './forward.ts'

/** What a DNS server has to say about every name: IPv4 addresses, a failure, or nothing at all. */
export type DnsBehaviour = readonly string[] | 'servfail' | 'nxdomain' | 'silent'

export interface DnsServer {
  /** `127.0.0.1:PORT`, as `--resolver` takes it. */
  readonly address: string
  behaviour: DnsBehaviour
  /** The names asked for, A queries only. */
  readonly asked: Told<string>
  close(): void
}

/** A DNS server of RFC 1035 with A records only, on loopback. */
export async function openDnsServer(behaviour: DnsBehaviour): Promise<DnsServer> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const server: DnsServer = {
    address: `127.0.0.1:${socket.address().port}`,
    behaviour,
    asked: new Told<string>(),
    close: () => socket.close(),
  }
  socket.on('message', (query: Buffer, from: RemoteInfo) => {
    const { name, type, end } = question(query)
    if (type === typeA) server.asked.add(name)
    const reply = answer(query.subarray(0, end), type, server.behaviour)
    if (reply !== undefined) socket.send(reply, from.port, from.address)
  })
  return server
}

const typeA = 1
const headerBytes = 12

function question(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = headerBytes
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
  return { name: labels.join('.'), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function answer(question: Buffer, type: number, behaviour: DnsBehaviour): Buffer | undefined {
  if (behaviour === 'silent') return undefined
  const head = Buffer.from(question)
  const addresses = typeof behaviour === 'string' || type !== typeA ? [] : behaviour
  const code = behaviour === 'servfail' ? 2 : behaviour === 'nxdomain' ? 3 : 0
  // A response, recursion desired and available.
  head.writeUInt16BE(0x8180 | code, 2)
  head.writeUInt16BE(addresses.length, 6)
  head.writeUInt16BE(0, 8)
  head.writeUInt16BE(0, 10)
  return Buffer.concat([head, ...addresses.map(addressRecord)])
}

/** The name is a pointer to the question's; class IN, TTL 60 s. */
function addressRecord(address: string): Buffer {
  const record = Buffer.from([0xc0, headerBytes, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4, 0, 0, 0, 0])
  for (const [index, part] of address.split('.').entries()) record[headerBytes + index] = Number(part)
  return record
}
