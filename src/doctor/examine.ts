import path from 'node:path'
import { configurationWithoutFile } from '../config/configuration.ts'
import { findConfigurationFile } from '../config/find-file.ts'
import { gatewayDefaults } from '../config/gateway-configuration.ts'
import { InvalidConfiguration, loadConfiguration } from '../config/load.ts'
import { loadConnectors } from '../config/load-connectors.ts'
import { wallTime } from '../os/clock.ts'
import { errorText, Failure } from '../os/failure.ts'
import { version } from '../os/version.ts'
import { judgeProcess } from '../process/identity.ts'
import { ownProcesses } from '../process/own-processes.ts'
import { readRuntimeState } from '../record/runtime-state.ts'
import type { RuntimeState } from '../record/shapes/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { gatewayStanding } from '../report/gateway-status.ts'
import {
  type Check,
  type Finding,
  failed,
  type GatewayPatient,
  type Level,
  levels,
  type Patient,
} from './check.ts'
import { checks, checksOfGateway } from './checks/index.ts'

/** What `doctor --json` prints (schema/doctor.schema.json). */
export interface Diagnosis {
  readonly schemaVersion: 1
  readonly version: string
  /** ISO 8601. */
  readonly takenAt: string
  readonly stateDirectory: string
  /** Null = the built-in one. */
  readonly configurationFile: string | null
  /** The worst level of all findings. */
  readonly level: Level
  readonly exitCode: 0 | 1 | 2
  /** In the order of the checks. */
  readonly findings: readonly (Finding & { readonly check: string })[]
}

export interface Examination {
  readonly stateDirectory: string
  /**
   * A configuration file; undefined = that of the monitor that runs, else one in the usual places, else the built-in configuration. Of a
   * gateway it may be the file of an MCP client, too.
   */
  readonly file: string | undefined
  readonly testAlerts?: boolean
}

/** Runs every check. One that fails is a finding, too: the others still count. */
export async function examine(examination: Examination): Promise<Diagnosis> {
  const { stateDirectory, file: asked, testAlerts = false } = examination
  const running = asked === undefined ? writerOf(stateDirectory) : undefined
  const { file: configurationFile, passedOver } = fileFor(asked ?? fileOf(running))
  const configured = await read(configurationFile, running?.gate)
  const { configuration } = configured
  const hasGateway =
    configuration !== undefined &&
    (configuration.connectors.length > 0 || configuration.gateway.kept !== undefined)
  const patient: Patient = {
    stateDirectory,
    configurationFile,
    passedOver,
    ...configured,
    processes: await ownProcesses(),
    gateway: hasGateway ? await readGateway(stateDirectory, configurationFile) : undefined,
    testAlerts,
  }
  return diagnosed(patient, checks)
}

/** Runs the checks of the gateway alone. */
export async function examineGateway({ stateDirectory, file: asked }: Examination): Promise<Diagnosis> {
  const { file: configurationFile, passedOver } = fileFor(asked ?? fileOf(writerOf(stateDirectory)))
  const patient: Patient = {
    stateDirectory,
    configurationFile,
    passedOver,
    configuration: undefined,
    mistakes: [],
    processes: [],
    gateway: await readGateway(stateDirectory, configurationFile),
    testAlerts: false,
  }
  return diagnosed(patient, checksOfGateway)
}

function fileFor(named: string | undefined): ReturnType<typeof findConfigurationFile> {
  return named === undefined ? findConfigurationFile() : { file: named, passedOver: [] }
}

async function diagnosed(patient: Patient, all: readonly Check[]): Promise<Diagnosis> {
  const { stateDirectory, configurationFile } = patient
  const findings: (Finding & { check: string })[] = []
  for (const check of all) {
    for (const finding of await run(check, patient)) findings.push({ check: check.name, ...finding })
  }
  const level = worstOf(findings)
  return {
    schemaVersion: 1,
    version,
    takenAt: wallTime(),
    stateDirectory,
    configurationFile: configurationFile ?? null,
    level,
    exitCode: exitCodeOf[level],
    findings,
  }
}

const exitCodeOf = { ok: 0, note: 0, warning: 1, error: 2 } as const

/** `ok` when there is none. */
export function worstOf(findings: readonly Finding[]): Level {
  return levels[Math.max(0, ...findings.map(({ level }) => levels.indexOf(level)))] ?? 'ok'
}

async function run(check: Check, patient: Patient): Promise<readonly Finding[]> {
  try {
    return await check.run(patient)
  } catch (error) {
    return [failed('check-failed', `this could not be checked: ${errorText(error)}`)]
  }
}

type Writer = RuntimeState['writer']

/** The monitor that runs; undefined when none does. */
function writerOf(stateDirectory: string): Writer | undefined {
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  if (reading.kind !== 'read' || judgeProcess(reading.state.writer.identity) !== 'alive') return undefined
  return reading.state.writer
}

function fileOf(writer: Writer | undefined): string | undefined {
  const file = writer?.configuration ?? null
  return file !== null && path.isAbsolute(file) ? file : undefined
}

type Configured = Pick<Patient, 'configuration' | 'mistakes'>

async function read(file: string | undefined, gate = ''): Promise<Configured> {
  if (file === undefined) return { configuration: configurationWithoutFile(gate), mistakes: [] }
  try {
    return { configuration: await loadConfiguration(file), mistakes: [] }
  } catch (error) {
    if (error instanceof InvalidConfiguration) return { configuration: undefined, mistakes: error.problems }
    if (error instanceof Failure) return { configuration: undefined, mistakes: [error.message] }
    throw error
  }
}

/** @param file undefined = there is none, and no connector. */
async function readGateway(stateDirectory: string, file: string | undefined): Promise<GatewayPatient> {
  const standing = gatewayStanding(stateDirectory, Date.now())
  const none = { connectors: [], configuration: gatewayDefaults, standing }
  if (file === undefined) return { ...none, mistakes: [] }
  try {
    const { connectors, gateway: configuration } = await loadConnectors(file)
    return { connectors: connectors.filter(({ enabled }) => enabled), configuration, standing, mistakes: [] }
  } catch (error) {
    if (error instanceof InvalidConfiguration) return { ...none, mistakes: error.problems }
    if (error instanceof Failure) return { ...none, mistakes: [error.message] }
    throw error
  }
}
