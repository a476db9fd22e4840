import path from 'node:path'
import {
  type ChannelRecord,
  type Incident,
  type IncidentChange,
  incidentRecord,
} from '../record/shapes/alerts.ts'
import type { Telling } from '../record/shapes/status-report.ts'
import { fileNames } from '../record/state-directory.ts'
import { readRecord } from './alert-files.ts'
import { readChannelRecords } from './channel-records.ts'
import { elapsedMs } from './moment.ts'

/** An incident that is not over, and who knows of it. */
export interface OpenIncident {
  readonly incident: Incident
  readonly channels: readonly { readonly name: string; readonly state: Telling }[]
}

/** What is open, by what was written down last. Reads only. */
export function readOpenIncidents(stateDirectory: string): OpenIncident[] {
  const record = readRecord(path.join(stateDirectory, fileNames.alerts), incidentRecord)
  if (typeof record !== 'object') return []
  return openIncidents(
    record.incidents.incidents,
    record.incidents.pending,
    readChannelRecords(stateDirectory),
  )
}

/** The pure part of `readOpenIncidents`. @param pending changes that no channel has yet. */
export function openIncidents(
  incidents: readonly Incident[],
  pending: readonly IncidentChange[],
  channels: readonly ChannelRecord[],
): OpenIncident[] {
  // A dead man's switch is told of no incident by itself.
  const telling = channels.filter(({ health }) => health.type !== 'ping')
  return incidents.map((incident) => ({
    incident,
    channels: telling.map(({ health, queue }) => {
      const queued = [...pending, ...queue.flatMap(({ changes }) => changes)]
      const waits = queued.some((change) => change.incident === incident.id)
      const { lastDeliveredAt } = health
      const isTold = lastDeliveredAt !== null && elapsedMs(lastDeliveredAt, incident.toldAt) === 0
      return { name: health.name, state: waits ? 'waiting' : isTold ? 'told' : 'not-told' } as const
    }),
  }))
}
