import { readdirSync } from 'node:fs'
import path from 'node:path'
import { type ChannelRecord, parseChannelRecord, readRecord } from './alert-files.ts'
import type { ChannelHealth } from './channel-health.ts'

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
    const record = readRecord(path.join(stateDirectory, name), parseChannelRecord)
    return typeof record === 'object' ? [record] : []
  })
}
