import { join } from 'node:path'
import type { Lab } from './namespaces.ts'
import { checkout } from './tools.ts'

/** What one frame in some has to bear. */
export interface WireFaults {
  /** Share of the frames that are lost. */
  readonly loss: number
  /** ms one way. */
  readonly delay: number
  /** ms by which the delay varies either way, which makes frames overtake each other. */
  readonly jitter: number
}

export interface WireCounts {
  readonly passed: number
  readonly lost: number
  readonly overtaken: number
  /** Lost while it was cut. */
  readonly cut: number
}

/** A second wire between the two machines of a lab, which does not carry everything. */
export interface BadWire {
  readonly host: string
  readonly visitor: string
  /** The interface on the host. */
  readonly device: string
  /** From now on nothing crosses it, and nobody is told. */
  cut(): Promise<void>
  mend(): Promise<void>
  /** Ends it, and tells what crossed it. */
  end(): Promise<WireCounts>
}

const device = 'wire0'
const [host, visitor] = ['10.78.0.1', '10.78.0.2'] as const

export async function layBadWire(lab: Lab, { loss, delay, jitter }: WireFaults): Promise<BadWire> {
  const program = join(checkout, 'test', 'support', 'bad-wire.py')
  const words = [device, 'wire1', loss, delay, jitter].map(String)
  const wire = lab.host.start(['python3', program, ...words])
  await wire.line(/^ready$/)
  const steps = [
    ['ip', 'link', 'set', 'wire1', 'netns', lab.visitor.name],
    ['ip', 'address', 'add', `${host}/30`, 'dev', device],
    ['ip', 'link', 'set', device, 'up'],
  ]
  for (const argv of steps) await successful(lab.host.run(argv))
  await successful(lab.visitor.run(['ip', 'address', 'add', `${visitor}/30`, 'dev', 'wire1']))
  await successful(lab.visitor.run(['ip', 'link', 'set', 'wire1', 'up']))
  return {
    host,
    visitor,
    device,
    cut: async () => {
      process.kill(wire.pid, 'SIGUSR1')
      await wire.line(/^cut$/)
    },
    mend: async () => {
      process.kill(wire.pid, 'SIGUSR2')
      await wire.line(/^mended$/)
    },
    end: async () => {
      process.kill(wire.pid, 'SIGTERM')
      return JSON.parse(await wire.line(/^\{/)) as WireCounts
    },
  }
}

/** Fails when the command did. */
export async function successful(running: ReturnType<Lab['host']['run']>): Promise<void> {
  const { code, stderr } = await running
  if (code !== 0) throw new Error(stderr)
}
