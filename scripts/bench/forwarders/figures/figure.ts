// What a figure is to the driver.
import { type Contender, type Forwarder, NGINX } from '../contenders.ts'
import type { Goal, Sample, Series } from '../series.ts'

export interface Figure {
  readonly name: string
  readonly series: readonly Series[]
  /** Whether each measurement wants a forwarder that has served nothing yet. */
  readonly fresh?: boolean
  /** Contenders run with their login, and those that have none do not run. */
  readonly isGated?: boolean
  takes(contender: Contender): boolean
  open(ports: number, folder: string): Promise<Site>
}

/** An opened figure: a target port for each contender. One each, so that no two share a range of connections. */
export interface Site {
  readonly targets: readonly number[]
  warm?(forwarder: Forwarder, target: number): Promise<void>
  measure(forwarder: Forwarder, target: number): Promise<Sample>
  /** What only the whole of the rounds can tell. */
  finish?(forwarder: Forwarder): Sample
  close(): Promise<void>
}

export interface Lengths {
  /** Whole seconds that one loaded run lasts. */
  readonly seconds: number
  /** Idle connections to hold. */
  readonly idle: number
  readonly summaryScript: string
}

/** No worse than nginx. */
export const asNginx: Goal = { kind: 'peer', name: NGINX, ratio: 1 }

export const KIB = 1024
export const MIB = 1024 * KIB
