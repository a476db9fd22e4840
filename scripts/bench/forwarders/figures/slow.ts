// A reader that takes one KiB a second, beside four that take all they can.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Forwarder } from '../contenders.ts'
import { withMemory } from '../processes.ts'
import type { Figure, Lengths } from './figure.ts'
import { KIB, MIB } from './figure.ts'
import { web, wrk } from './web.ts'

export function slowReader({ seconds, summaryScript }: Lengths): Figure {
  async function fastOnes({ port, group }: Forwarder) {
    const [got, memory] = await withMemory(
      group,
      wrk(summaryScript, `http://127.0.0.1:${port}/file`, 4, seconds),
    )
    return { speed: got.bytes / got.seconds, peak: memory.most }
  }

  return {
    name: 'slow',
    series: [
      {
        id: 'slow-kept',
        title: 'speed kept beside a slow reader',
        unit: 'x',
        better: 'more',
        goal: { kind: 'bound', value: 0.9 },
      },
      {
        id: 'slow-memory',
        title: 'memory for a slow reader',
        unit: 'MiB',
        better: 'less',
        goal: { kind: 'bound', value: 8 },
      },
    ],
    takes: ({ only, kind }) => only === undefined && kind !== 'direct',
    async open(ports, folder) {
      return {
        ...(await web(ports, folder)),
        warm: async (forwarder) => {
          await fastOnes(forwarder)
        },
        async measure(forwarder) {
          const alone = await fastOnes(forwarder)
          const reader = readSlowly(forwarder.port)
          try {
            await sleep(300)
            const beside = await fastOnes(forwarder)
            if (!reader.stands()) throw new Error('the slow reader was cut off')
            return {
              'slow-kept': beside.speed / alone.speed,
              'slow-memory': (beside.peak - alone.peak) / MIB,
            }
          } finally {
            reader.stop()
          }
        },
      }
    },
  }
}

function readSlowly(port: number): { stands(): boolean; stop(): void } {
  const socket = connect({
    port,
    host: '127.0.0.1',
    onread: { buffer: Buffer.alloc(KIB), callback: () => false },
  })
  socket.on('error', () => {})
  socket.write('GET /endless HTTP/1.1\r\nHost: bench\r\n\r\n')
  const again = setInterval(() => socket.resume(), 1000)
  return {
    stands: () => socket.readyState === 'open' && socket.bytesRead > 0,
    stop() {
      clearInterval(again)
      socket.resetAndDestroy()
    },
  }
}
