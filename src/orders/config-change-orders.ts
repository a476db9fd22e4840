/**
 * The orders config-change and config-undo: programs are added from templates, and a list of their values is changed, without a word of a
 * command. What may be changed is the person's to say (`configChange` in the file); what is changed is kept beside that file.
 *
 *   input -> `changed` -> the whole configuration is read with it -> configuration-changes.json -> reload
 *
 * A value that orders may change is a key of the input here, and of `OrderedProgram`.
 */
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { z as Zod } from 'zod'
import { realFolder } from '../config/allowed-folders.ts'
import type { ConfigurationSource } from '../config/load.ts'
import { changed, isUnchanged, type OrderedProgram, orderedKeys } from '../config/ordered-changes.ts'
import { className, rule } from '../config/output-schema.ts'
import { limits, restart } from '../config/unit-schema.ts'
import { forwardName } from '../config/values.ts'
import * as z from '../config/zod.ts'
import type { KeptChanges } from '../record/configuration-changes.ts'
import { demandFile, judge, onDisk } from './configuration-reading.ts'
import type { OrderedConfiguration, OrderedMonitor } from './monitor.ts'
import { type Around, actorInWords, type Order, OrderRefusal, row } from './order.ts'

/** Programs that orders may have changed, variables of one, and rules of one class. */
const mostPrograms = 50
const mostVariables = 50
const mostClasses = 4
const mostRules = 10

/** Characters of all changes together, as they are kept. */
const mostKept = 128 * 1024

/** Characters of an expression, and how often it may repeat what it counts: every line of the program is matched with it. */
const longestOrderedRegex = 200
const mostRepeats = 200

/** Characters of the value of a variable. */
const longestValue = 4096

const few = (most: number, what: string) =>
  [(value: object) => Object.keys(value).length <= most, `give ${most} ${what} at most`] as const

const scalar = z.union([z.string().max(40), z.number()]).nullable()

/** The keys of a part of a program, each of which may be taken back. What its values may be is judged with the whole configuration. */
function keysOf(schema: Zod.ZodObject) {
  const shape = Object.entries(schema.shape).map(([key, one]) => {
    return [key, scalar.optional().describe(one.description ?? '')] as const
  })
  return z.strictObject(Object.fromEntries(shape))
}

const text = z
  .string()
  .max(longestValue)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  .regex(/^[^\u0000-\u0008\u000b-\u001f\u007f]*$/, 'control characters are not allowed')

const orderedRule = rule.extend({
  // Before it is compiled: that takes time, too.
  regex: z
    .string()
    .max(longestOrderedRegex)
    .refine((regex) => repeats(regex) <= mostRepeats, `repeat ${mostRepeats} times at most`)
    .pipe(rule.shape.regex),
})

/** What the numbers of `{2,10}` make together, as if each stood within the one before. */
function repeats(regex: string): number {
  const counts = [...regex.matchAll(/\{(\d+)(?:,(\d*))?\}/g)]
  return counts.reduce((all, [, least, most]) => all * Math.max(1, Number(most || least)), 1)
}

const input = z.strictObject({
  units: z
    .array(z.string().regex(forwardName, 'a name is 1 to 63 letters, digits, ".", "_" or "-"'))
    .length(1)
    .describe('the program, by name; with template the name of the new one'),
  template: z
    .string()
    .max(100)
    .optional()
    .describe('add a program from this template; configChange.templates in config_show lists them'),
  cwd: z
    .string()
    .max(longestValue)
    .optional()
    .describe('with template: the folder to run it in; relative to that of the configuration file'),
  port: z.number().int().min(1).max(65535).optional().describe('with template: instead of its usual port'),
  remove: z.literal(true).optional().describe('remove a program that an order has added'),
  env: z
    .record(z.string().max(100), text.nullable())
    .refine(...few(mostVariables, 'variables'))
    .optional()
    .describe('variables, by names on the list configChange.env; null takes one back'),
  patterns: z
    .record(className, z.array(orderedRule).max(mostRules).nullable())
    .refine(...few(mostClasses, 'classes'))
    .optional()
    .describe('patterns that give lines a class, beside those of the configuration; null takes a class back'),
  restart: keysOf(restart.omit({ startTimeout: true, killAfter: true }))
    .optional()
    .describe('how it is restarted; null takes a value back'),
  limits: keysOf(limits).optional().describe('what it may use; null takes a value back'),
  autostart: z.boolean().nullable().optional().describe('false = it waits for an order to start'),
})

type Input = Zod.infer<typeof input>

const output = z.object({
  program: z.string(),
  outcome: z.enum(['changed', 'unchanged']),
  change: z.string().nullable().describe('what has changed, in words; null = nothing'),
  ordered: z.array(z.string()).describe('the keys of this program that orders have set'),
  undo: z.string().nullable().describe('the order that takes it back'),
})

export const configChangeOrders: readonly Order[] = [
  row({
    name: 'config-change',
    summary:
      'Change a program within what the configuration allows: add it from a template, set values, or remove it.',
    scope: 'config',
    changes: true,
    hides: ['env'],
    input,
    output,
    carryOut: (asked, { monitor, actor }) => {
      return monitor.configuration().changes.inTurn(() => change(asked, monitor, actor))
    },
  }),
  row({
    name: 'config-undo',
    summary: 'Take back the last change of the configuration by order.',
    scope: 'config',
    changes: true,
    input: z.strictObject({}),
    output: output.extend({ undone: z.object({ at: z.string(), by: z.string() }) }),
    carryOut: (_input, { monitor, actor }) => {
      return monitor.configuration().changes.inTurn(() => undo(monitor, actor))
    },
  }),
]

async function change(asked: Input, monitor: OrderedMonitor, actor: Around['actor']) {
  const { source, running, changes } = demandFile(monitor)
  const { file } = source
  const [name = ''] = asked.units
  if (running.configChange === undefined) {
    const message = `${file} has no configChange, which would allow changes by order`
    throw new OrderRefusal('change-denied', message, 'a person adds it: man port-watchdog.yaml')
  }
  const kept = changes.read()
  const before = kept.programs.find((one) => one.name === name)
  const after = programAfter(asked, before, monitor.configuration(), file)
  if (isDeepStrictEqual(after, before)) return { ...unchanged(name, before), undo: null }
  if (after !== undefined && before === undefined && kept.programs.length >= mostPrograms) {
    const message = `orders have changed ${mostPrograms} programs already`
    throw new OrderRefusal('change-denied', message, 'take one back first, or ask a person to write it down')
  }
  const step = {
    at: new Date().toISOString(),
    by: actorInWords(actor),
    program: name,
    before: before ?? null,
  }
  const next = { programs: replaced(kept.programs, name, after), undo: [...kept.undo, step] }
  return { ...(await takeEffect(next, name, monitor, 'config-change', actor)), undo: 'config-undo' }
}

async function undo(monitor: OrderedMonitor, actor: Around['actor']) {
  const kept = demandFile(monitor).changes.read()
  const step = kept.undo.at(-1)
  if (step === undefined) {
    const next = 'proxy-ctl config show says what orders have set'
    throw new OrderRefusal('nothing-to-undo', 'no change by order can be taken back', next)
  }
  const { program, before, at, by } = step
  const next = {
    programs: replaced(kept.programs, program, before ?? undefined),
    undo: kept.undo.slice(0, -1),
  }
  const done = await takeEffect(next, program, monitor, 'config-undo', actor)
  return { ...done, undo: null, undone: { at, by } }
}

/** What orders have changed of a program after this order; undefined = nothing. */
function programAfter(
  { units: [name = ''], template, cwd, port, remove, ...values }: Input,
  before: OrderedProgram | undefined,
  { running }: OrderedConfiguration,
  file: string,
): OrderedProgram | undefined {
  const isThere = running.programs.some((one) => one.name === name)
  if (remove === true) {
    if (before?.added !== undefined) return undefined
    const what = isThere ? 'stands in the configuration file' : 'is not there'
    const next = 'only what an order has added can be removed; null takes back single values'
    throw new OrderRefusal(isThere ? 'change-denied' : 'unknown-unit', `the program ${name} ${what}`, next)
  }
  if (template !== undefined) {
    const folder = path.resolve(path.dirname(file), cwd ?? '.')
    const real = realFolder(folder)
    if (real === undefined)
      throw new OrderRefusal('invalid-input', `there is no folder ${folder}`, 'name one that is there: cwd')
    if (isThere || before !== undefined)
      throw new OrderRefusal('invalid-input', `there is a program ${name} already`, 'take another name')
    const added = { template, cwd: real, ...(port === undefined ? {} : { port }) }
    return changed({ name, added }, values)
  }
  if (cwd !== undefined || port !== undefined)
    throw new OrderRefusal('invalid-input', 'cwd and port go with template, and only with it', null)
  if (!isThere) {
    const known = running.programs.map((one) => one.name).join(', ')
    const next = `${known === '' ? '' : `name one of ${known}, or `}add it with template`
    throw new OrderRefusal('unknown-unit', `there is no program "${name}"`, next)
  }
  const after = changed(before ?? { name }, values)
  return isUnchanged(after) ? undefined : after
}

function replaced(
  all: readonly OrderedProgram[],
  name: string,
  after: OrderedProgram | undefined,
): readonly OrderedProgram[] {
  const isThere = all.some((one) => one.name === name)
  if (after === undefined) return all.filter((one) => one.name !== name)
  return isThere ? all.map((one) => (one.name === name ? after : one)) : [...all, after]
}

/** Checks the whole configuration with the changes, writes them down, and lets them take effect. */
async function takeEffect(
  next: KeptChanges,
  name: string,
  monitor: OrderedMonitor,
  order: string,
  actor: Around['actor'],
) {
  const { source, changes } = demandFile(monitor)
  const { file } = source
  const kept = changes.read()
  if (JSON.stringify(next.programs).length > mostKept) {
    const message = `orders may change ${mostKept} characters of the configuration at most`
    throw new OrderRefusal('change-denied', message, 'take something back first')
  }
  await demandFit({ file, text: textOf(file), changes: next.programs }, name)
  changes.write(next)
  const reloaded = await monitor.reload(order, actorInWords(actor))
  if (reloaded.kind !== 'read') {
    // The file was changed in between.
    changes.write(kept)
    const problem = reloaded.kind === 'refused' ? reloaded.problem : 'there is no file'
    throw new OrderRefusal('invalid-configuration', problem, 'proxy-ctl config check')
  }
  const { words } = reloaded
  const told = unchanged(
    name,
    next.programs.find((one) => one.name === name),
  )
  return words === undefined ? told : { ...told, outcome: 'changed' as const, change: words }
}

function unchanged(program: string, changes: OrderedProgram | undefined) {
  const ordered = changes === undefined ? [] : [...orderedKeys(changes)]
  return { program, outcome: 'unchanged' as 'changed' | 'unchanged', change: null as string | null, ordered }
}

function textOf(file: string): string {
  const found = onDisk(file)
  if (typeof found === 'string') return found
  throw new OrderRefusal('invalid-configuration', found.problems[0]?.message ?? '', 'proxy-ctl config check')
}

/** @throws OrderRefusal when the file is not valid, or the changes of this program do not go with it. */
async function demandFit(source: ConfigurationSource, name: string): Promise<void> {
  const judged = await judge(source)
  if ('problems' in judged) {
    const [first] = judged.problems
    const at = first?.line == null ? '' : `line ${first.line}: `
    const message = `the configuration file is not valid, so nothing is changed: ${at}${first?.message ?? ''}`
    throw new OrderRefusal('invalid-configuration', message, 'a person mends it: proxy-ctl config check')
  }
  const aside = judged.setAside.find(({ program }) => program === name)
  if (aside === undefined) return
  if (aside.kind === 'denied')
    throw new OrderRefusal(
      'change-denied',
      aside.why,
      'a person can allow it: configChange in the configuration',
    )
  throw new OrderRefusal('invalid-configuration', aside.why, null)
}
