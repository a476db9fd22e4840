/**
 * doctor/: the checks of `port-watchdog doctor`. It looks at the machine, the configuration and what runs, and says what is wrong and what
 * cures it. It changes nothing, and needs no monitor.
 *
 *   examine.ts (collects the facts once) -> checks/ (each: facts in, findings out) -> render.ts
 *
 * `mcp-proxy doctor` is the same about the MCP gateway alone.
 */

import type { Configuration } from '../config/configuration.ts'
import type { ConnectorConfiguration } from '../config/connector-configuration.ts'
import type { GatewayConfiguration } from '../config/gateway-configuration.ts'
import type { OwnProcess } from '../process/own-processes.ts'
import type { GatewayStanding } from '../report/gateway-status.ts'

/**
 * - `ok`: looked at and in order.
 * - `note`: worth knowing, nothing to mend.
 * - `warning`: works now, and will fail or is unsafe under some circumstance.
 * - `error`: does not work.
 */
export type Level = 'ok' | 'note' | 'warning' | 'error'

export const levels: readonly Level[] = ['ok', 'note', 'warning', 'error']

export interface Finding {
  /** Stable, `kebab-case`: for programs, which must not read the sentence. */
  readonly code: string
  readonly level: Level
  /** One sentence. */
  readonly what: string
  /** What to type or to change; null when nothing is to be done. */
  readonly cure: string | null
}

/** What every check may look at. */
export interface Patient {
  /** May not exist. */
  readonly stateDirectory: string
  /** Undefined = none is given: the built-in one is used. */
  readonly configurationFile: string | undefined
  /** Undefined = it is not valid. */
  readonly configuration: Configuration | undefined
  /** Why it is not valid: every mistake, a line each. */
  readonly mistakes: readonly string[]
  /** Files that would have been used if they could be trusted, each with the reason. */
  readonly passedOver: readonly string[]
  readonly processes: readonly OwnProcess[]
  /** Undefined = nothing says that there is to be a gateway. */
  readonly gateway: GatewayPatient | undefined
  /** Send a message, marked as a test, through each alert channel. */
  readonly testAlerts: boolean
}

/** What is known of the MCP gateway. */
export interface GatewayPatient {
  /** Those that are enabled, with those of the files of MCP clients that the configuration names. */
  readonly connectors: readonly ConnectorConfiguration[]
  /** Why they could not be read. */
  readonly mistakes: readonly string[]
  readonly configuration: GatewayConfiguration
  readonly standing: GatewayStanding
}

export interface Check {
  /** `kebab-case`. */
  readonly name: string
  readonly run: (patient: Patient) => Promise<readonly Finding[]> | readonly Finding[]
}

const finding =
  (level: Level) =>
  (code: string, what: string, cure: string | null = null): Finding => ({ code, level, what, cure })

export const ok = finding('ok')
export const note = finding('note')
export const warning = finding('warning')
export const failed = finding('error')
