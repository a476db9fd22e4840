/** What a forwarder reports, as data, and the lines of its log that are made of it. */
import { type ForwardOptions, targetsOf } from '../config/forward-options.ts'
import { targetProgram } from '../config/values.ts'
import type { Log } from '../log/index.ts'
import { hostAndPort } from '../os/interfaces.ts'
import type { Instance, RefusalReason } from '../record/shapes/forwarder-health.ts'
import type { AccessRecord } from './access-record.ts'
import type { TargetChange } from './dial/candidate.ts'
import { type GateEvent, gateLine } from './gate/gate-events.ts'
import type { CapacityEvent } from './limits/capacity.ts'
import type { ListenEvent } from './listen/listening.ts'
import type { StepFailure } from './steps/steps.ts'
import type { CertificateEvent } from './steps/tls-in.ts'

/** What a forwarder reports to the keeper of its log. Nothing on the byte path is an event. */
export type ForwarderEvent =
  | ListenEvent
  | { readonly kind: 'target-answers'; readonly target: string; readonly address: string }
  | {
      readonly kind: 'target-fails'
      readonly target: string
      readonly message: string
      readonly answeredBefore: boolean
    }
  | {
      readonly kind: 'refused'
      readonly source: string
      readonly reason: RefusalReason
      readonly message: string
      /** Refusals for the same reason just before this one that were not told. */
      readonly untold: number
    }
  | {
      readonly kind: 'step-failed'
      readonly source: string
      readonly failure: StepFailure
      /** Failures of the same step for the same reason just before this one that were not told. */
      readonly untold: number
    }
  /** Which processes of the program that the forward leads to get new connections. */
  | { readonly kind: 'instances'; readonly ready: readonly Instance[] }
  | { readonly kind: 'gate'; readonly event: GateEvent }
  | CapacityEvent
  | CertificateEvent

/** Who hears what a forwarder reports. All of it is called synchronously and must not throw. */
export interface ForwarderListener {
  readonly event: (event: ForwarderEvent) => void
  /** Called at the end of each connection. Undefined = there is no access log, and no record is put together. */
  readonly ended?: ((record: AccessRecord) => void) | undefined
  /** What else a person should know although everything works; stands in the health report. */
  readonly warnings?: () => readonly string[]
}

/** What a change of a target means for the log; undefined = nothing to say. */
export function targetEvent(change: TargetChange): ForwarderEvent | undefined {
  const { host, port } = change.target
  const target = hostAndPort(host, port)
  switch (change.kind) {
    case 'answers':
      return { kind: 'target-answers', target, address: hostAndPort(change.address, port) }
    case 'renewed':
      return undefined
    case 'fails': {
      const { message, answeredBefore } = change
      return { kind: 'target-fails', target, message, answeredBefore }
    }
  }
}

/** Writes the line of an event. */
export function logEvent(log: Log, forward: ForwardOptions, event: ForwarderEvent): void {
  switch (event.kind) {
    case 'listening': {
      const where = event.places.map((place) => hostAndPort(place, forward.listenPort)).join(', ')
      const program = targetProgram(forward.targetHost)
      const targets =
        program === undefined
          ? targetsOf(forward).map(({ host, port }) => hostAndPort(host, port))
          : [`program ${program}`]
      return log.info({ good: true }, `Listening on ${where}, forwarding to ${targets.join(', else ')}`)
    }
    case 'not-listening':
      return log.warn(
        `Cannot listen on ${hostAndPort(event.place, forward.listenPort)}: ${event.problem}; trying again`,
      )
    case 'target-answers':
      return log.info({ good: true }, `Target ${event.target} answers at ${event.address}`)
    case 'target-fails':
      return event.answeredBefore
        ? log.error(`Target ${event.target} no longer answers: ${event.message}`)
        : log.info(`Waiting for target ${event.target}: ${event.message}`)
    case 'refused':
      return log.warn(
        `Connection from ${event.source} refused: ${event.message}${othersBefore(event.untold)}`,
      )
    case 'step-failed': {
      const { reason, step, message } = event.failure
      const what = `${step.side === 'client' ? '' : 'target, '}${step.name}: ${message}`
      return log[reason === 'gone' ? 'info' : 'warn'](
        `Connection from ${event.source} ended: ${what}${othersBefore(event.untold)}`,
      )
    }
    case 'instances': {
      const names = event.ready.map(({ name, port }) => `${name} (port ${port})`).join(', ')
      return names === ''
        ? log.warn(`Program ${targetProgram(forward.targetHost)} is not ready: new connections wait`)
        : log.info({ good: true }, `New connections go to ${names}`)
    }
    case 'gate': {
      const { level, message, good } = gateLine(event.event)
      return log[level]({ good: good === true }, message)
    }
    case 'certificate-loaded': {
      const { subject, names, validTo, fingerprint } = event.certificate
      const what = `${subject || 'without a subject'} (${names || 'no names'}), valid to ${validTo}`
      return log.info({ good: true }, `Certificate in use: ${what}, SHA-256 ${fingerprint}`)
    }
    case 'certificate-kept':
      return log.error(`What was loaded before is kept: ${event.problem}`)
    case 'full':
      return event.reason === 'descriptors'
        ? log.error(
            `No descriptor is left at ${event.open} connections: new ones are turned away; raise the limit (ulimit -n)`,
          )
        : log.warn(`${event.open} connections are open, the limit: new ones are turned away`)
    case 'room':
      return log.info({ good: true }, `New connections are taken again, ${event.open} are open`)
  }
}

function othersBefore(untold: number): string {
  return untold > 0 ? ` (and ${untold} others before it)` : ''
}
