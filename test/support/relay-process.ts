// A forwarder without policy in a process of its own, so that its memory can be measured:
// node relay-process.js WAY TARGET_PORT. It tells its port, and answers every message with how it is.
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { type Relay, startRelay } from '../../src/forward/relay/relay.ts'
import { noLimits, type Way, ways } from './relay-peers.ts'

export type FromProcess =
  | { kind: 'listening'; port: number }
  | {
      kind: 'state'
      bufferedBytes: number
      bytesFromTarget: number
      residentBytes: number
      highestResidentBytes: number
      mostBytesInATurn: number
      /** Of the turns that moved something, nine in ten moved no more. */
      bytesInNineOfTenTurns: number
    }

const [way, targetPort] = process.argv.slice(2) as [Way, string]
const totals = { bytesFromClient: 0, bytesFromTarget: 0 }
const relays = new Set<Relay>()

const server = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
  const target = net.connect({
    host: '127.0.0.1',
    port: Number(targetPort),
    allowHalfOpen: true,
    noDelay: true,
  })
  target.once('connect', () => {
    const relay = startRelay(ways[way](client), ways[way](target), noLimits, totals, () =>
      relays.delete(relay),
    )
    relays.add(relay)
  })
})
server.listen(0, '127.0.0.1', () =>
  tell({ kind: 'listening', port: (server.address() as net.AddressInfo).port }),
)

let mostBytesInATurn = 0
let bytesBefore = 0
/** Of the last turns that moved something. */
const bytesInTurns: number[] = []

/** Goes round with the event loop. */
function noteTurn(): void {
  const bytes = totals.bytesFromTarget
  const moved = bytes - bytesBefore
  mostBytesInATurn = Math.max(mostBytesInATurn, moved)
  if (moved > 0 && bytesInTurns.push(moved) > 1000) bytesInTurns.shift()
  bytesBefore = bytes
  setImmediate(noteTurn)
}
noteTurn()

process.on('message', () => {
  const bufferedBytes = [...relays].reduce((sum, relay) => sum + relay.bufferedBytes, 0)
  tell({
    kind: 'state',
    bufferedBytes,
    bytesFromTarget: totals.bytesFromTarget,
    residentBytes: process.memoryUsage.rss(),
    highestResidentBytes: highestResidentBytes(),
    mostBytesInATurn,
    bytesInNineOfTenTurns: bytesInTurns.sort((a, b) => a - b)[Math.floor(bytesInTurns.length * 0.9)] ?? 0,
  })
  bytesInTurns.length = 0
})
process.on('disconnect', () => process.exit())

/** Not getrusage(2): its figure goes on over exec(2), so that it is that of the test's own process when that is larger. */
function highestResidentBytes(): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

function tell(message: FromProcess): void {
  process.send?.(message)
}
