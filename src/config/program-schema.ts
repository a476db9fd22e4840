/** What `programs:` may say in a configuration file, and the configuration that comes of it. Loaded with the schema of the file. */
import path from 'node:path'
import type { z as Zod } from 'zod'
import { action, actionConfiguration } from './action-schema.ts'
import { circleThrough } from './circle.ts'
import { input, inputRules } from './input-schema.ts'
import { instanceName, servedPort, usualMaxInstances } from './instances.ts'
import { regexProblem } from './log-patterns.ts'
import { output, outputKeys } from './output-schema.ts'
import type { Problem } from './problems.ts'
import {
  type HealthCondition,
  type OutputConfiguration,
  type Probe,
  type ProgramConfiguration,
  programDefaults,
  stopSignals,
} from './program-configuration.ts'
import { pty, ptyKeys, terminalSize } from './pty-schema.ts'
import { duration, oneOrMore, port } from './schema-parts.ts'
import { listenAddresses, socket, socketKeys } from './socket-schema.ts'
import {
  type LimitsEntry,
  limits,
  type RestartEntry,
  resourceLimits,
  restart,
  restartPolicy,
} from './unit-schema.ts'
import { forwardName } from './values.ts'
import { watch, watchKeys, watchRules } from './watch-schema.ts'
import * as z from './zod.ts'

const stop = z.strictObject({
  signal: z.enum(stopSignals).optional().describe('signal that asks it to end; default SIGTERM'),
  grace: duration.optional().describe('time from that signal to SIGKILL for its whole session; default 10s'),
})

/** What a variable may hold in YAML: numbers and flags are written without quotation marks. */
const variable = z.union([z.string(), z.number(), z.boolean()]).transform(String)

const variableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable is letters, digits and "_"')

const command = z
  .array(z.union([z.string(), z.number()]).transform(String))
  .min(1)
  .refine(([program]) => program !== '', 'the first word is the program to run')

const url = z.string().refine((text) => {
  return /^https?:\/\/./.test(text) && URL.canParse(text)
}, 'must be a URL that begins with http:// or https://')

/** What may be asked of a program. */
const probe = {
  port: port.optional().describe('a process of the program listens on this TCP port'),
  http: url.optional().describe('a GET of this URL is answered with a status below 400'),
  command: command
    .optional()
    .describe('this command, a list, ends with 0 in the folder of the program and with its variables'),
}

const probeKinds = ['port', 'http', 'command']

const isOneOf =
  (...kinds: readonly string[]) =>
  (entry: object) =>
    kinds.filter((kind) => (entry as Readonly<Record<string, unknown>>)[kind] !== undefined).length === 1
const oneOf = (...kinds: readonly string[]) => `needs exactly one of ${kinds.join(', ')}`

const ready = z
  .strictObject({
    ...probe,
    log: z
      .string()
      .min(1)
      .superRefine((value, context) => {
        const problem = regexProblem(value)
        if (problem !== undefined) context.addIssue({ code: 'custom', message: problem, input: value })
      })
      .optional()
      .describe('it prints a line in which this expression (RE2) is found, such as "ready in"'),
    interval: duration
      .refine((ms) => ms > 0, 'give it more than 0')
      .optional()
      .describe('time between two tries of http or command; default 250ms'),
  })
  .refine(isOneOf(...probeKinds, 'log'), oneOf(...probeKinds, 'log'))

const health = z
  .strictObject({
    ...probe,
    interval: duration
      .refine((ms) => ms >= 100, 'ask every 100ms at most')
      .optional()
      .describe('time between two questions; default 10s'),
    timeout: duration
      .refine((ms) => ms > 0, 'an answer takes time; give it more than 0')
      .optional()
      .describe('time that an answer may take; default 5s'),
    failureThreshold: z.number().int().min(1).optional().describe('failures in a row that count; default 3'),
    action: z
      .enum(['restart', 'alert'])
      .optional()
      .describe('what to do then: restart the program, or only alert; default restart'),
  })
  .refine(isOneOf(...probeKinds), oneOf(...probeKinds))

const accountName = z
  .union([z.string(), z.number()])
  .transform(String)
  .pipe(z.string().regex(/^(?:\d+|[A-Za-z_][A-Za-z0-9_.-]*\$?)$/, 'a user or group is a name or a number'))

const instanceCount = z.number().int().min(1).max(100)

export const program = z.strictObject({
  name: z
    .string()
    .regex(forwardName, 'a name is 1 to 63 letters, digits, ".", "_" or "-"')
    .describe(
      'its name in status, logs and alerts: 1 to 63 letters, digits, ".", "_" or "-"; unique over forwards and programs',
    ),
  command: z
    .union([command, z.string().min(1)])
    .describe(
      'the program and its arguments as a list, such as [npm, run, dev]; no shell reads them. With shell: true: one line for a shell',
    ),
  shell: z.boolean().optional().describe('true = command is one line, which /bin/sh reads; default false'),
  cwd: z
    .string()
    .min(1)
    .optional()
    .describe('folder to run it in; relative to the folder of this file, which is the default'),
  user: accountName
    .optional()
    .describe(
      "user to run it as, with all groups of that user; needs a monitor that runs as root; default: the monitor's own",
    ),
  group: accountName.optional().describe("with user: its first group, instead of the user's own"),
  env: z
    .record(variableName, variable)
    .optional()
    .describe('variables that it gets beside the usual ones, such as PATH and HOME'),
  envFile: oneOrMore(z.string().min(1))
    .optional()
    .describe(
      'a file of variables (NAME=value lines), or several; read at every start, and env overrides it',
    ),
  passEnv: z
    .array(variableName)
    .optional()
    .describe("names of the monitor's own variables that it gets besides; no others are passed on"),
  ready: ready.optional().describe('what tells that it has started; default: it has run for a second'),
  health: health.optional().describe('what is asked of it while it runs; default: whether it runs'),
  readyWithin: duration
    .refine((ms) => ms > 0, 'a start takes time; give it more than 0')
    .optional()
    .describe('time in which it must be ready; default 30s'),
  restart: restart
    .omit({ startTimeout: true, killAfter: true })
    .optional()
    .describe('how this program is restarted'),
  stop: stop.optional().describe('how it is ended'),
  limits: limits.optional().describe('memory, CPU time and open files that this program may use'),
  output: output.optional().describe('what becomes of what it prints'),
  dependsOn: z
    .array(z.string())
    .optional()
    .describe(
      'names of forwards and programs that must be ready before it is started; one with oneshot must have ended with 0',
    ),
  oneshot: z
    .boolean()
    .optional()
    .describe(
      'true = it runs once, such as a migration: an end with exit code 0 is no failure; default false',
    ),
  input: input
    .optional()
    .describe('true, or rules: what people and agents may send to its stdin by an order; default false'),
  actions: z
    .record(z.string().regex(forwardName, 'an action is named by letters, digits, ".", "_" or "-"'), action)
    .optional()
    .describe('commands beside it that people and agents may run by name, such as its tests'),
  pty: pty
    .optional()
    .describe(
      'true, or a size: the program gets a terminal; for programs that ask for keys or draw on the screen; default false',
    ),
  socket: socket
    .optional()
    .describe(
      'a port, or { port, host }, or several, on which the monitor listens for the program. It gets the sockets as descriptors 3, 4 and so on; a restart refuses no connection',
    ),
  watch: watch
    .optional()
    .describe('files to watch, such as ["src/**/*.ts"]: when one changes, the program is restarted'),
  autostart: z.boolean().optional().describe('false = it waits for an order to start; default true'),
  onDetached: z
    .enum(['end', 'adopt', 'wait'])
    .optional()
    .describe(
      'what the monitor does with processes of its session that outlive its first process: end = end them and start the program again, adopt = keep them as the program, wait = wait for an order; default end',
    ),
  keep: z
    .boolean()
    .optional()
    .describe(
      'true = the program goes on when the monitor ends or is killed; the next monitor takes it over; default false',
    ),
  instances: instanceCount
    .optional()
    .describe(
      'how many copies run. They are named web-1, web-2, …; the first has the port of the program, each next one the port after it. PORT in its environment and {port} in command and env stand for that port',
    ),
  maxInstances: instanceCount
    .optional()
    .describe(
      'how many copies proxy-ctl scale may ask for. Without instances, one copy runs at first; default: 8, or instances when that is more',
    ),
})

/** A program as a file may describe it; `templates/` makes a {@link program} of it first. */
export const writtenProgram = program.partial({ command: true }).extend({
  template: z
    .string()
    .optional()
    .describe(
      'how it is run, instead of command: vite, django, … or a file of templates/; see adding-programs.md',
    ),
  port: port.optional().describe('with template: the port, instead of the usual one'),
  args: z
    .array(z.union([z.string(), z.number()]))
    .optional()
    .describe('with template: words for the end of its command'),
})

export type ProgramEntry = Zod.output<typeof program>

/** The keys that may stand at a place in `programs`, by the key above. */
export const programKeys: Readonly<Record<string, readonly string[]>> = {
  programs: Object.keys(writtenProgram.shape),
  ready: Object.keys(ready.shape),
  health: Object.keys(health.shape),
  stop: Object.keys(stop.shape),
  ...outputKeys,
  input: ['allow', 'deny'],
  pty: ptyKeys,
  socket: socketKeys,
  watch: watchKeys,
}

/** The same, with those of what forwards have, too: everything that an entry may hold. */
export const knownKeys: Readonly<Record<string, readonly string[]>> = {
  ...programKeys,
  restart: Object.keys(program.shape.restart.unwrap().shape),
  limits: Object.keys(limits.shape),
}

/**
 * @param folder that relative folders begin in: that of the file.
 * @param shared what the file says for all units. Its times for a start and an end are those of forwarders.
 */
export function programConfiguration(
  entry: ProgramEntry,
  folder: string,
  shared: { readonly restart?: RestartEntry | undefined; readonly limits?: LimitsEntry | undefined },
  kept: OutputConfiguration,
): ProgramConfiguration {
  const stopping = {
    signal: entry.stop?.signal ?? programDefaults.stop.signal,
    graceMs: entry.stop?.grace ?? programDefaults.stop.graceMs,
  }
  const times = {
    startTimeout: entry.readyWithin ?? programDefaults.readyWithinMs,
    killAfter: stopping.graceMs,
  }
  return {
    name: entry.name,
    command: commandOf(entry),
    cwd: path.resolve(folder, entry.cwd ?? '.'),
    env: entry.env ?? {},
    envFile: (entry.envFile ?? []).map((file) => path.resolve(folder, file)),
    passEnv: entry.passEnv ?? [],
    ready: entry.ready && {
      probe: entry.ready.log === undefined ? probeOf(entry.ready) : { kind: 'log', pattern: entry.ready.log },
      intervalMs: entry.ready.interval ?? programDefaults.readyIntervalMs,
    },
    health: entry.health && healthCondition(entry.health),
    restart: restartPolicy({ ...shared.restart, ...entry.restart, ...times }),
    limits: resourceLimits({ ...shared.limits, ...entry.limits }),
    stop: stopping,
    output: kept,
    input: inputRules(entry.input),
    actions: Object.fromEntries(
      Object.entries(entry.actions ?? {}).map(([name, one]) => [name, actionConfiguration(one)]),
    ),
    pty: terminalSize(entry.pty),
    sockets: listenAddresses(entry.socket),
    watch: watchRules(entry.watch),
    autostart: entry.autostart ?? programDefaults.autostart,
    onDetached: entry.onDetached ?? 'end',
    keep: entry.keep ?? false,
    oneshot: entry.oneshot ?? false,
    dependsOn: entry.dependsOn ?? [],
    ...instanceCounts(entry),
    ...(entry.user === undefined ? {} : { user: entry.user }),
    ...(entry.group === undefined ? {} : { group: entry.group }),
  }
}

/** Groups without a user, and commands that do not say who reads them. */
export function commandProblems(programs: readonly ProgramEntry[]): Problem[] {
  return programs.flatMap(({ user, group, command, shell }, index): Problem[] => {
    const wrong = (key: 'group' | 'command' | 'shell', text: string): Problem[] => [
      { place: ['programs', index, key], text: `programs[${index}].${key}: ${text}` },
    ]
    if (group !== undefined && user === undefined) return wrong('group', 'needs user beside it')
    if (typeof command === 'string')
      return shell === true
        ? []
        : wrong(
            'command',
            'must be a list, such as [npm, run, dev]; for a shell that reads one line: shell: true',
          )
    return shell === true
      ? wrong('shell', 'a shell reads one line; write command as a string, or leave out shell')
      : []
  })
}

/** Programs that are to outlive the monitor and cannot. */
export function keepProblems(programs: readonly ProgramEntry[]): Problem[] {
  return programs.flatMap(({ keep, oneshot }, index): Problem[] => {
    if (keep !== true || oneshot !== true) return []
    const why = 'the next monitor could not know how it has ended; leave out keep or oneshot'
    const text = `programs[${index}].keep: it runs once (oneshot), and ${why}`
    return [{ place: ['programs', index, 'keep'], text }]
  })
}

function commandOf({ command }: ProgramEntry): ProgramConfiguration['command'] {
  if (typeof command === 'string') return ['/bin/sh', '-c', command]
  return command as unknown as ProgramConfiguration['command']
}

/** With `maxInstances` alone one copy runs until an order asks for more. */
function instanceCounts({ instances, maxInstances }: ProgramEntry): Pick<ProgramConfiguration, 'instances'> {
  if (instances === undefined && maxInstances === undefined) return {}
  const count = instances ?? 1
  return { instances: { count, most: maxInstances ?? Math.max(usualMaxInstances, count) } }
}

/** What is wrong with numbers of copies. @param kept the configuration of each entry. */
export function instanceProblems(
  entries: readonly ProgramEntry[],
  kept: readonly ProgramConfiguration[],
): Problem[] {
  return entries.flatMap((entry, index): Problem[] => {
    const wrong = (key: 'instances' | 'maxInstances', text: string): Problem[] => [
      { place: ['programs', index, key], text: `programs[${index}].${key}: ${text}` },
    ]
    const program = kept[index]
    if (program?.instances === undefined) return []
    const { count, most } = program.instances
    const key = entry.instances === undefined ? 'maxInstances' : 'instances'
    if (entry.oneshot === true) return wrong(key, 'a program that runs once (oneshot) has no copies')
    if (entry.socket !== undefined)
      return wrong(
        key,
        'a program whose port the monitor holds (socket) has no copies; let a forward spread over them',
      )
    if (most < count) return wrong('maxInstances', `it is less than instances, which is ${count}`)
    const last = instanceName(entry.name, most)
    if (!forwardName.test(last)) return wrong(key, `the name ${last} would be too long`)
    const port = servedPort(program)
    return port !== undefined && port + most - 1 > 65535
      ? wrong(key, `copy ${most} would have port ${port + most - 1}; the highest is 65535`)
      : []
  })
}

/**
 * What is wrong with what programs depend on: a name that nobody has, or a circle, in which none would ever start.
 * @param forwards their names.
 */
export function dependencyProblems(
  programs: readonly ProgramEntry[],
  forwards: readonly string[],
): Problem[] {
  const names = new Set([...forwards, ...programs.map(({ name }) => name)])
  const unknown = programs.flatMap(({ dependsOn = [] }, index) =>
    dependsOn.flatMap((name, at): Problem[] => {
      if (names.has(name)) return []
      const text = `programs[${index}].dependsOn[${at}]: there is no forward or program "${name}"`
      return [{ place: ['programs', index, 'dependsOn', at], text }]
    }),
  )
  return [...unknown, ...circlesIn(programs)]
}

function circlesIn(programs: readonly ProgramEntry[]): Problem[] {
  const below = new Map(programs.map(({ name, dependsOn = [] }) => [name, dependsOn]))
  const told = new Set<string>()
  return programs.flatMap(({ name }, index): Problem[] => {
    const circle = told.has(name) ? undefined : circleThrough(name, (one) => below.get(one) ?? [])
    if (circle === undefined) return []
    for (const one of circle) told.add(one)
    const text = `programs[${index}].dependsOn: this leads in a circle: ${[...circle, name].join(' -> ')}; none of them would start`
    return [{ place: ['programs', index, 'dependsOn'], text }]
  })
}

function healthCondition(entry: Zod.output<typeof health>): HealthCondition {
  const usual = programDefaults.health
  return {
    probe: probeOf(entry),
    intervalMs: entry.interval ?? usual.intervalMs,
    timeoutMs: entry.timeout ?? usual.timeoutMs,
    failureThreshold: entry.failureThreshold ?? usual.failureThreshold,
    action: entry.action ?? usual.action,
  }
}

function probeOf({ port, http, command }: Zod.output<typeof ready> | Zod.output<typeof health>): Probe {
  if (port !== undefined) return { kind: 'port', port }
  if (http !== undefined) return { kind: 'http', url: http }
  return { kind: 'command', command: command as unknown as ProgramConfiguration['command'] }
}
