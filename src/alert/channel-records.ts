import path from 'node:path'
import { namesIn } from '../os/directory-names.ts'
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
  let names: readonly string[]
  try {
    names = namesIn(stateDirectory)
  } catch {
    return []
  }
  const ofChannels = names.filter((name) => channelOfFile(name) !== undefined)
  return ofChannels.sort().flatMap((name) => {
    const record = readRecord(path.join(stateDirectory, name), channelRecord)
    return typeof record === 'object' ? [record] : []
  })
}
