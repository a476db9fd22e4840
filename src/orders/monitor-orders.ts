/** Orders about the monitor itself: reload, stop-monitor, test-alert. */
import type { z as Zod } from 'zod'
import { sendTestAlerts, testableChannels } from '../alert/test-alert.ts'
import type { AlertConfiguration } from '../config/alert-options.ts'
import * as z from '../config/zod.ts'
import { isProgramRecord } from '../record/shapes/runtime-state.ts'
import type { OrderedRecord } from './monitor.ts'
import { actorInWords, type Order, type OrderError, OrderRefusal, row } from './order.ts'

const named = z.object({ name: z.string(), port: z.number() })

const testedChannel = z.object({
  name: z.string(),
  delivered: z.boolean(),
  /** Why it was not delivered, without secrets. */
  problem: z.string().nullable(),
})

const nameOf = ({ name }: { readonly name: string }) => name

export type TestedChannel = Zod.infer<typeof testedChannel>

export const monitorOrders: readonly Order[] = [
  row({
    name: 'reload',
    summary: 'Read the configuration file again and let it take effect; units that did not change go on.',
    scope: 'config',
    changes: true,
    input: z.strictObject({}),
    output: z.object({
      file: z.string(),
      outcome: z.enum(['changed', 'unchanged']),
      /** In words; null = nothing has changed. */
      change: z.string().nullable(),
      added: z.array(named),
      removed: z.array(named),
      changed: z.array(named),
      renamed: z.array(z.object({ from: z.string(), to: z.string(), port: z.number() })),
      /** The names of programs. */
      programs: z.object({
        added: z.array(z.string()),
        removed: z.array(z.string()),
        changed: z.array(z.string()),
      }),
    }),
    carryOut: async (_input, { monitor, actor }) => {
      const reloaded = await monitor.reload('reload', actorInWords(actor))
      if (reloaded.kind === 'no-file') {
        const next = 'start the monitor with --config FILE; proxy-monitor --init writes a file to begin with'
        throw new OrderRefusal('no-configuration-file', 'the monitor runs without a configuration file', next)
      }
      if (reloaded.kind === 'refused') {
        const message = `the file is rejected, and the configuration before stays in force: ${reloaded.problem}`
        throw new OrderRefusal('invalid-configuration', message, `proxy-monitor --check ${reloaded.file}`)
      }
      const { file, words, change } = reloaded
      const { added, removed, changed, renamed, programs } = change
      const names = (forwards: typeof added) =>
        forwards.map(({ name, options }) => ({ name, port: options.listenPort }))
      return {
        file,
        outcome: words === undefined ? ('unchanged' as const) : ('changed' as const),
        change: words ?? null,
        added: names(added),
        removed: names(removed),
        changed: names(changed),
        renamed: [...renamed],
        programs: {
          added: programs.added.map(nameOf),
          removed: programs.removed.map(nameOf),
          changed: programs.changed.map(nameOf),
        },
      }
    },
  }),
  row({
    name: 'stop-monitor',
    summary:
      'End the monitor and its programs. Its forwards and the programs with keep go on unless they are to end with it.',
    scope: 'config',
    changes: true,
    input: z.strictObject({
      stopForwards: z.boolean().default(false).describe('end the forwards and the programs with keep, too'),
    }),
    output: z.object({
      pid: z.number(),
      /** Forwards and kept programs that run and are not watched from then on. */
      unwatched: z.array(z.string()),
    }),
    carryOut: ({ stopForwards }, { monitor, actor }) => {
      const isLeft = (record: OrderedRecord) =>
        record.phase === 'running' && (!isProgramRecord(record) || record.keep === true)
      const running = monitor.units().filter((unit) => isLeft(unit.record()))
      // After the answer.
      setImmediate(() => monitor.end(stopForwards, `an order of ${actorInWords(actor)}`))
      return { pid: process.pid, unwatched: stopForwards ? [] : running.map(({ name }) => name) }
    },
  }),
  row({
    name: 'test-alert',
    summary: 'Send a message that is marked as a test through alert channels, and say how each went.',
    scope: 'control',
    changes: true,
    input: z.strictObject({
      channel: z.string().optional().describe('only this channel; without it all'),
    }),
    output: z.object({ channels: z.array(testedChannel) }),
    failures: ({ channels }) =>
      channels.flatMap(({ name, problem }): OrderError[] =>
        problem === null ? [] : [{ code: 'delivery-failed', message: `${name}: ${problem}`, next: null }],
      ),
    carryOut: ({ channel }, { monitor }) => testChannels(monitor.alerts(), channel),
  }),
]

/** The order `test-alert`, also for a configuration that no monitor runs with. */
export async function testChannels(alerts: AlertConfiguration, channel: string | undefined) {
  const names = testableChannels(alerts)
  if (names.length === 0) {
    const next = 'add one under alerts.channels in the configuration file'
    throw new OrderRefusal('no-alert-channel', 'no alert channel is configured', next)
  }
  if (channel !== undefined && !names.includes(channel)) {
    throw new OrderRefusal(
      'unknown-channel',
      `there is no alert channel "${channel}"`,
      `name one of ${names.join(', ')}`,
    )
  }
  const tested = await sendTestAlerts(alerts, channel === undefined ? names : [channel])
  return {
    channels: tested.map(({ name, problem }) => {
      return { name, delivered: problem === undefined, problem: problem ?? null }
    }),
  }
}
