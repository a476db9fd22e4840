// Held and silent connections. Each has carried one byte, so that it is known to reach the target.
import { readFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts, memoryBytes } from '../processes.ts'
import type { Figure, Lengths } from './figure.ts'
import { KIB } from './figure.ts'

const HELD_BY_HEAVY = 300

export function idle({ idle: wanted }: Lengths): Figure {
  const limit = Number(
    /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1024,
  )
  const most = Math.min(wanted, Math.floor(limit / 2) - 200)
  return {
    name: 'idle',
    fresh: true,
    series: [
      {
        id: 'idle',
        title: 'memory an idle connection',
        unit: 'KiB',
        better: 'less',
        goal: { kind: 'bound', value: 8 },
      },
    ],
    takes: ({ only, kind }) => only === undefined && kind !== 'direct',
    async open(ports) {
      const targets = await freePorts(ports)
      const accepted = new Set<Socket>()
      const greeters = targets.map((port) =>
        createServer((socket) => {
          accepted.add(socket)
          socket.on('close', () => accepted.delete(socket))
          socket.on('error', () => {})
          socket.write('.')
        }).listen(port, '127.0.0.1', 4096),
      )
      return {
        targets,
        async measure({ contender, port, group }) {
          if (!group) throw new Error('nothing to measure without a process')
          // The first connections pay for what is made once.
          for (const socket of await hold(port, 50)) socket.resetAndDestroy()
          await sleep(200)
          const before = memoryBytes(group)
          const count = contender.heavy ? Math.min(HELD_BY_HEAVY, most) : most
          const held = await hold(port, count)
          await sleep(500)
          const grown = memoryBytes(group) - before
          for (const socket of [...held, ...accepted]) socket.resetAndDestroy()
          return { idle: grown / count / KIB }
        },
        close: async () => {
          for (const socket of accepted) socket.destroy()
          await Promise.all(greeters.map(closed))
        },
      }
    },
  }
}

/** Opens `count` connections, sixteen at a time, and returns them when the target has answered on every one. */
async function hold(port: number, count: number): Promise<Socket[]> {
  const held: Socket[] = []
  let begun = 0
  const opener = async () => {
    while (begun < count) {
      begun += 1
      held.push(await greeted(port))
    }
  }
  try {
    await Promise.all(Array.from({ length: 16 }, opener))
    return held
  } catch (error) {
    for (const socket of held) socket.destroy()
    throw error
  }
}

function greeted(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const giveUp = (why: string) => {
      socket.destroy()
      reject(new Error(`a connection to hold ${why}`))
    }
    socket.setTimeout(5000, () => giveUp('got no answer within 5 s'))
    socket.once('data', () => {
      socket.setTimeout(0)
      socket.removeAllListeners('close')
      resolve(socket)
    })
    socket.on('error', () => {})
    socket.once('close', () => giveUp('was closed before the target answered'))
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
