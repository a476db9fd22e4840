import { PassThrough } from 'node:stream'
import { expect, test, vi } from 'vitest'
import { logOrders } from '../../src/orders/log-orders.ts'
import type { OrderedUnit } from '../../src/orders/monitor.ts'
import { compilePatterns, ProgramOutput } from '../../src/program/output/index.ts'
import { temporaryDirectory } from '../support/children.ts'
import { fakeMonitor } from '../support/fake-monitor.ts'

test('the newest lines of all programs: one that printed before all of them is not read', async (t) => {
  const directory = temporaryDirectory(t)
  vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 })
  t.onTestFinished(() => void vi.useRealTimers())
  const outputs = ['old', 'late', 'middle'].map((name) => {
    const options = { directory, name, maxBytes: 1 << 20, patterns: compilePatterns() }
    return { name, output: new ProgramOutput(options) }
  })
  const print = async (name: string, at: number, count: number) => {
    vi.setSystemTime(at)
    const stdout = new PassThrough()
    const followed = outputs.find((one) => one.name === name)?.output.follow(stdout, null)
    stdout.end(Array.from({ length: count }, (_, index) => `${name} ${index}\n`).join(''))
    await followed
  }
  await print('old', 2_000_000, 20)
  await print('middle', 3_000_000, 20)
  await print('late', 4_000_000, 6)
  const read = outputs.map(({ output }) => vi.spyOn(output, 'readInTurns'))
  const { monitor } = fakeMonitor([])
  const units = outputs.map((program) => ({ name: program.name, program }) as unknown as OrderedUnit)
  const around = {
    monitor: { ...monitor, units: () => units },
    actor: {},
    gone: new AbortController().signal,
  }
  const order = logOrders.find(({ name }) => name === 'logs')
  const ask = async (input: object) => {
    const checked = order?.input.parse(input)
    return (await order?.carryOut(checked, around as never)) as { lines: { text: string }[]; cursor: string }
  }
  const { lines, cursor } = await ask({ tail: 10 })
  expect(lines.map(({ text }) => text)).toEqual([
    ...[16, 17, 18, 19].map((at) => `middle ${at}`),
    ...[0, 1, 2, 3, 4, 5].map((at) => `late ${at}`),
  ])
  expect(read.map((spy) => spy.mock.calls.length)).toEqual([0, 1, 1])
  // Whoever goes on from there misses nothing of it, and gets nothing twice.
  await print('old', 5_000_000, 1)
  expect((await ask({ cursor })).lines.map(({ text }) => text)).toEqual(['old 0'])
  for (const { output } of outputs) output.close()
})
