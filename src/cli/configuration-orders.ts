/** What `proxy-monitor` does with a configuration without watching anything: --check, --init, --schema, --test-alert. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { AlertConfiguration } from '../config/alert-options.ts'
import {
  type Configuration,
  configurationWithoutFile,
  defaultConfiguration,
  type ForwardConfiguration,
  unitCounts,
} from '../config/configuration.ts'
import { configurationFileName } from '../config/find-file.ts'
import { speaksTls } from '../config/http-options.ts'
import { InvalidConfiguration, loadConfiguration } from '../config/load.ts'
import { optionList } from '../config/option-table.ts'
import {
  type HealthCondition,
  type InputRules,
  type Probe,
  type ProgramConfiguration,
  programDefaults,
  type ReadyCondition,
} from '../config/program-configuration.ts'
import type { ResourceLimits } from '../config/resource-limits.ts'
import { type RestartPolicy, restartDefaults } from '../config/restart-policy.ts'
import { starterFile } from '../config/starter.ts'
import { testChannels } from '../orders/monitor-orders.ts'
import { OrderRefusal } from '../orders/order.ts'
import { createFileAtomically } from '../os/atomic-file.ts'
import { preciseDuration } from '../os/duration.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { hostAndPort } from '../os/interfaces.ts'
import { oneLine } from '../os/printable.ts'
import { missingOf } from '../program/unit/missing.ts'
import { programVocabulary } from '../program/unit/vocabulary.ts'
import { limitInWords } from '../record/limit-words.ts'
import { ownPrograms, shellWord } from '../report/own-programs.ts'
import { testedText } from './ctl-output.ts'

/** For editors: the schema that lies beside an installed program has no path that a file could name. */
export async function printSchema(): Promise<number> {
  const { configurationJsonSchema } = await import('../config/schema.ts')
  process.stdout.write(`${JSON.stringify(configurationJsonSchema(), null, 2)}\n`)
  return exitCode.ok
}

/**
 * Lists what a file means, or every mistake in it.
 * @param file undefined = what holds without one.
 * @param gate the login in front of what holds without one; empty = none.
 */
export async function checkConfiguration(file: string | undefined, gate = ''): Promise<number> {
  try {
    const configuration = file === undefined ? configurationWithoutFile(gate) : await loadConfiguration(file)
    const what = file === undefined ? 'without a file' : `${file} is valid`
    process.stdout.write(`${what}: ${unitCounts(configuration)}\n`)
    for (const line of listing(configuration)) process.stdout.write(`  ${oneLine(line)}\n`)
    for (const line of missing(configuration))
      process.stderr.write(`proxy-monitor: warning: ${oneLine(line)}\n`)
    return exitCode.ok
  } catch (error) {
    if (!(error instanceof InvalidConfiguration) || error.problems.length < 2) throw error
    for (const problem of error.problems) {
      process.stderr.write(`proxy-monitor: ${file}: ${oneLine(problem)}\n`)
    }
    return error.exitCode
  }
}

/** What programs need and do not find on this machine now. It may be there when they are started, so it is no mistake. */
function missing({ programs }: Configuration): string[] {
  return programs.flatMap((program) => {
    const { fault } = programVocabulary(program)
    return missingOf(program).map((one) => `${program.name}: ${fault(one)}`)
  })
}

function listing({ forwards, programs, alerts, http }: Configuration): string[] {
  const api = http === undefined ? [] : [`HTTP API: ${speaksTls(http) ? 'https' : 'http'}://${http.listen}`]
  return [...forwards.flatMap(forwardLines), ...programs.flatMap(programLines), ...alertLines(alerts), ...api]
}

/** A forward, and what is not as it would be by itself. */
function forwardLines({ name, options, limits, restart }: ForwardConfiguration): string[] {
  const { listenPort, targetHost, targetPort } = options
  const tuned = optionList.flatMap(({ name: option, key, specification }) => {
    const value = options[option]
    if (String(value) === String(specification.default)) return []
    const told = specification.kind === 'duration' ? preciseDuration(Number(value)) : value
    return [`${key}: ${Array.isArray(told) ? told.join(', ') : told}`]
  })
  return [
    `${name}: port ${listenPort} to ${targetHost.startsWith('program:') ? targetHost : hostAndPort(targetHost, targetPort)}`,
    ...[...tuned, ...limitLine(limits), ...restartLine(restart)].map((line) => `  ${line}`),
  ]
}

/** A program, and what is not as it would be by itself. Of its variables the names: their values may be secrets. */
function programLines(program: ProgramConfiguration): string[] {
  const {
    name,
    command,
    cwd,
    env,
    envFile,
    passEnv,
    ready,
    health,
    restart,
    limits,
    stop,
    autostart,
    oneshot,
    dependsOn,
    user,
    group,
    keep,
    onDetached,
    instances,
    sockets,
    watch,
    pty,
    input,
    actions,
    output,
  } = program
  const { errorRate } = output
  const { stop: usualStop, readyWithinMs } = programDefaults
  const { startTimeoutMs, killAfterMs } = restart
  const variables = Object.keys(env)
  const usual = {
    ...restart,
    startTimeoutMs: restartDefaults.startTimeoutMs,
    killAfterMs: restartDefaults.killAfterMs,
  }
  const lines = [
    `in: ${cwd}${existsSync(cwd) ? '' : ', which does not exist'}`,
    ...(variables.length === 0 ? [] : [`env: ${variables.join(', ')}`]),
    ...(envFile.length === 0 ? [] : [`envFile: ${envFile.join(', ')}`]),
    ...(passEnv.length === 0 ? [] : [`passEnv: ${passEnv.join(', ')}`]),
    ...(ready === undefined ? [] : [`ready: ${probeInWords(ready.probe)}`]),
    ...(health === undefined ? [] : [healthLine(health)]),
    ...(startTimeoutMs === readyWithinMs ? [] : [`readyWithin: ${preciseDuration(startTimeoutMs)}`]),
    ...(stop.signal === usualStop.signal && killAfterMs === usualStop.graceMs
      ? []
      : [`stop: ${stop.signal}, grace ${preciseDuration(killAfterMs)}`]),
    ...(dependsOn.length === 0 ? [] : [`dependsOn: ${dependsOn.join(', ')}`]),
    ...(oneshot ? ['oneshot: true'] : []),
    ...(autostart ? [] : ['autostart: false']),
    ...(keep ? ['keep: true'] : []),
    ...(user === undefined ? [] : [`user: ${user}${group === undefined ? '' : `, group ${group}`}`]),
    ...(onDetached === 'end' ? [] : [`onDetached: ${onDetached}`]),
    ...(instances === undefined ? [] : [`instances: ${instances.count}, at most ${instances.most}`]),
    ...(sockets.length === 0
      ? []
      : [`socket: ${sockets.map(({ host, port }) => hostAndPort(host, port)).join(', ')}`]),
    ...(watch === undefined ? [] : [`watch: ${watch.files.join(', ')}`]),
    ...(pty === undefined ? [] : [`pty: ${pty.columns} columns, ${pty.rows} rows`]),
    ...(input === undefined ? [] : [inputLine(input)]),
    ...(Object.keys(actions).length === 0 ? [] : [`actions: ${Object.keys(actions).join(', ')}`]),
    ...(errorRate === undefined
      ? []
      : [
          `errorRate: ${errorRate.above} within ${preciseDuration(errorRate.withinMs)}; beyond: ${errorRate.action}`,
        ]),
    ...limitLine(limits),
    ...restartLine(usual),
  ]
  return [`${name}: runs ${command.map(shellWord).join(' ')}`, ...lines.map((line) => `  ${line}`)]
}

function inputLine({ allow, deny }: InputRules): string {
  const rules = [
    allow.length === 0 ? [] : `allow ${allow.join(' ')}`,
    deny.length === 0 ? [] : `deny ${deny.join(' ')}`,
  ]
  return `input: ${rules.flat().join(', ') || 'true'}`
}

function probeInWords(probe: Probe | ReadyCondition['probe']): string {
  switch (probe.kind) {
    case 'port':
      return `port ${probe.port}`
    case 'http':
      return probe.url
    case 'log':
      return `a line with ${probe.pattern}`
    case 'command':
      return probe.command.map(shellWord).join(' ')
  }
}

function healthLine({ probe, intervalMs, failureThreshold, action }: HealthCondition): string {
  const every = `every ${preciseDuration(intervalMs)}`
  return `health: ${probeInWords(probe)}, ${every}; after ${failureThreshold} failures in a row: ${action}`
}

function limitLine(limits: ResourceLimits): string[] {
  const limited = [
    limits.memoryBytes > 0 ? [`memory ${limitInWords('memory', limits.memoryBytes)}`] : [],
    limits.cpuPercent > 0 ? [`cpu ${limitInWords('cpu', limits.cpuPercent)}`] : [],
    (limits.openFiles ?? 0) > 0 ? [`open files ${limits.openFiles}`] : [],
  ].flat()
  return limited.length === 0 ? [] : [`limits: ${limited.join(', ')}; beyond: ${limits.action}`]
}

function restartLine(restart: RestartPolicy): string[] {
  const names = Object.keys(restartDefaults) as (keyof RestartPolicy)[]
  const tuned = names.filter((name) => restart[name] !== restartDefaults[name])
  if (tuned.length === 0) return []
  const told = tuned.map((name) => {
    const value = restart[name]
    return name.endsWith('Ms') ? `${name.slice(0, -2)} ${preciseDuration(value)}` : `${name} ${value}`
  })
  return [`restart: ${told.join(', ')}`]
}

/** The channels by name. What they send to is a secret. */
function alertLines({ channels, ping, reminderMs }: AlertConfiguration): string[] {
  const told = channels.map((channel) => {
    const how =
      channel.type === 'command'
        ? `runs ${channel.command[0]}`
        : channel.type === 'webhook'
          ? `webhook, ${channel.secret === undefined ? 'not signed' : 'signed'}`
          : channel.type
    return `alerts to ${channel.name}: ${how}`
  })
  const reminder = channels.length > 0 && reminderMs > 0 ? [`reminder: ${preciseDuration(reminderMs)}`] : []
  const pinged =
    ping === undefined
      ? []
      : [`ping: every ${preciseDuration(ping.intervalMs)}${ping.fail ? ', fails with incidents' : ''}`]
  return [...told, ...reminder, ...pinged]
}

/** Writes a starter file with comments. @param asked where; true = in the current folder. */
export function writeStarterFile(asked: true | string): number {
  const file = asked === true ? configurationFileName : asked
  try {
    if (!createFileAtomically(path.resolve(file), starterFile)) {
      throw new Failure(
        `${file} exists and is left as it is; name another file: --init FILE`,
        exitCode.cannotCreate,
      )
    }
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure(`${file} cannot be written: ${errorText(error)}`, exitCode.cannotCreate)
  }
  const isFound =
    path.basename(file) === configurationFileName && path.dirname(path.resolve(file)) === process.cwd()
  const start = isFound ? ownPrograms().monitor : `${ownPrograms().monitor} --config ${shellWord(file)}`
  process.stdout.write(`Wrote ${file}. Edit it, check it with ${start} --check, then start: ${start}\n`)
  return exitCode.ok
}

/** The order `test-alert` for a configuration that no monitor need run with. @param asked the name of one channel; true = all. */
export async function testAlerts(file: string | undefined, asked: true | string): Promise<number> {
  const { alerts } = file === undefined ? defaultConfiguration : await loadConfiguration(file)
  try {
    const { channels } = await testChannels(alerts, asked === true ? undefined : asked)
    process.stdout.write(testedText({ channels }))
    return channels.every(({ delivered }) => delivered) ? exitCode.ok : exitCode.unavailable
  } catch (error) {
    if (!(error instanceof OrderRefusal)) throw error
    const { code, message, next } = error.error
    const wrong = code === 'unknown-channel' ? exitCode.usage : exitCode.configuration
    throw new Failure(`${message}; ${next}`, wrong)
  }
}
