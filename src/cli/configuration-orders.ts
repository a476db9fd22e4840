/** What `proxy-monitor` does with a configuration without watching anything: --check, --init, --schema, --test-alert. */
import path from 'node:path'
import { sendTestAlerts, testableChannels } from '../alert/test-alert.ts'
import type { AlertConfiguration } from '../config/alert-options.ts'
import {
  type Configuration,
  configurationWithoutFile,
  defaultConfiguration,
  type ForwardConfiguration,
} from '../config/configuration.ts'
import { configurationFileName } from '../config/find-file.ts'
import { InvalidConfiguration, loadConfiguration } from '../config/load.ts'
import { optionList } from '../config/option-table.ts'
import { type RestartPolicy, restartDefaults } from '../config/restart-policy.ts'
import { starterFile } from '../config/starter.ts'
import { preciseDuration } from '../os/duration.ts'
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { hostAndPort } from '../os/interfaces.ts'
import { oneLine } from '../os/printable.ts'
import { createFileAtomically } from '../record/atomic-file.ts'
import { limitInWords } from '../record/limit-words.ts'
import { ownPrograms, shellWord } from '../report/own-programs.ts'

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
    const { forwards } = configuration
    process.stdout.write(`${what}: ${countOf(forwards.length)}\n`)
    for (const line of listing(configuration)) process.stdout.write(`  ${oneLine(line)}\n`)
    return exitCode.ok
  } catch (error) {
    if (!(error instanceof InvalidConfiguration) || error.problems.length < 2) throw error
    for (const problem of error.problems) {
      process.stderr.write(`proxy-monitor: ${file}: ${oneLine(problem)}\n`)
    }
    return error.exitCode
  }
}

function countOf(forwards: number): string {
  if (forwards === 0) return 'no forwards: nothing would be watched'
  return forwards === 1 ? '1 forward' : `${forwards} forwards`
}

function listing({ forwards, alerts }: Configuration): string[] {
  return [...forwards.flatMap(forwardLines), ...alertLines(alerts)]
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
  const limited = [
    limits.memoryBytes > 0 ? [`memory ${limitInWords('memory', limits.memoryBytes)}`] : [],
    limits.cpuPercent > 0 ? [`cpu ${limitInWords('cpu', limits.cpuPercent)}`] : [],
  ].flat()
  const limit = limited.length === 0 ? [] : [`limits: ${limited.join(', ')}; beyond: ${limits.action}`]
  return [
    `${name}: port ${listenPort} to ${hostAndPort(targetHost, targetPort)}`,
    ...[...tuned, ...limit, ...restartLine(restart)].map((line) => `  ${line}`),
  ]
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

/** Tries the alert channels. @param asked the name of one channel; true = all. */
export async function testAlerts(file: string | undefined, asked: true | string): Promise<number> {
  const { alerts } = file === undefined ? defaultConfiguration : await loadConfiguration(file)
  const names = testableChannels(alerts)
  if (names.length === 0) {
    const cure = 'add one under alerts.channels, and name the file with --config'
    throw new Failure(`no alert channel is configured; ${cure}`, exitCode.configuration)
  }
  if (asked !== true && !names.includes(asked)) {
    throw new Failure(`there is no alert channel "${asked}"; there is ${names.join(', ')}`, exitCode.usage)
  }
  const tested = await sendTestAlerts(alerts, asked === true ? names : [asked])
  for (const { name, problem } of tested) {
    process.stdout.write(`${name}: ${problem === undefined ? 'delivered' : `failed: ${oneLine(problem)}`}\n`)
  }
  return tested.some(({ problem }) => problem !== undefined) ? exitCode.unavailable : exitCode.ok
}
