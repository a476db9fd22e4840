import { readdirSync } from 'node:fs'
import path from 'node:path'
import { type ChannelHealth, type ChannelRecord, channelRecord } from '../record/shapes/alerts.ts'
import { readRecord } from './alert-files.ts'

/** The health of a channel to which nothing was sent yet. */
export function newHealth(name: string, type: ChannelHealth['type']): ChannelHealth {
  return {
    name,
    type,
    state: 'untried',
    queued: 0,
    dropped: 0,
    delivered: 0,
    lastDeliveredAt: null,
    lastError: null,
    failures: 0,
    retryAt: null,
    retryAtIsTold: false,
  }
}

/** The channel that a file of the state directory belongs to; undefined when it is none of a channel. */
export function channelOfFile(name: string): string | undefined {
  return /^alert_(.+)\.json$/.exec(name)?.[1]
}

/** How the channels are, by what was written of them last. Reads only. */
export function readChannelHealth(stateDirectory: string): ChannelHealth[] {
  return readChannelRecords(stateDirectory).map(({ health }) => health)
}

/** How the channels are and what waits for them, likewise. */
export function readChannelRecords(stateDirectory: string): ChannelRecord[] {
  let names: string[]
  try {
    names = readdirSync(stateDirectory)
  } catch {
    return []
  }
  return names.sort().flatMap((name) => {
    if (channelOfFile(name) === undefined) return []
    const record = readRecord(path.join(stateDirectory, name), channelRecord)
    return typeof record === 'object' ? [record] : []
  })
}
