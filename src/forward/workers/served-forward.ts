import type { ForwardOptions } from '../../config/forward-options.ts'
import type { ConnectionFacts } from '../../record/shapes/control.ts'
import type { ForwarderHealth, Instance } from '../../record/shapes/forwarder-health.ts'
import type { Forwarder } from '../forwarder.ts'

type Now<T> = T | Promise<T>

/** What a forward can be asked and told, whether one process serves it (`Forwarder`) or several do (`WholeForward`). */
export interface ServedForward {
  readonly options: ForwardOptions
  readonly openConnections: number
  health(): Now<ForwarderHealth>
  targets(): ForwarderHealth['targets']
  instances(): readonly Instance[] | undefined
  setInstances(ready: readonly Instance[]): void
  connections(): Now<readonly ConnectionFacts[]>
  kill(which: { readonly id: number } | { readonly source: string }): Now<number>
  expectProbe(sourcePort: number): Now<void>
  sockets(): ReturnType<Forwarder['sockets']>
  reloadCertificates(): Promise<void>
  close(): void
  leaveListeners(): void
  drain(): Promise<void>
  finish(): Promise<void>
  stopNow(): void
}
