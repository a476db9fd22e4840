/** What the wire tap of the MCP gateway writes, a line of JSON a message, and `mcp-proxy tap` and `mcp-proxy replay` read. */
import path from 'node:path'
import { readRegularFile } from '../../os/regular-file.ts'
import { fileNames } from '../state-directory.ts'

export interface TapRecord {
  /** Rises by one. */
  readonly number: number
  /** Wall time, ISO 8601. */
  readonly ts: string
  readonly connector: string
  /** Whose call it belongs to, by the name that the client gives itself; null = the gateway's own, or not known. */
  readonly client: string | null
  readonly direction: 'to-server' | 'from-server'
  /** Of an answer: of its request; null = not known. */
  readonly method: string | null
  /** On the connection between the gateway and the server, as JSON text; null = a notification. */
  readonly id: string | null
  /** Of an answer: ms since its request. */
  readonly ms?: number
  /** With its secrets masked; missing when it was too long, or no JSON. */
  readonly message?: unknown
  /** Characters, where `message` is missing. */
  readonly length?: number
}

/** The file that is written, and the full one before it. */
export const tapFiles = [fileNames.gatewayTap, `${fileNames.gatewayTap}.1`] as const

/** Everything that is kept, oldest first. Lines that are no records are passed over. */
export function readTapRecords(stateDirectory: string): readonly TapRecord[] {
  return tapFiles
    .toReversed()
    .flatMap((name) => linesOf(path.join(stateDirectory, name)).flatMap((line) => recordIn(line) ?? []))
}

function linesOf(file: string): readonly string[] {
  try {
    return readRegularFile(file).split('\n')
  } catch {
    return []
  }
}

function recordIn(line: string): TapRecord | undefined {
  if (line === '') return undefined
  try {
    const record = JSON.parse(line) as Partial<TapRecord> | null
    const isRecord = typeof record?.number === 'number' && typeof record.connector === 'string'
    return isRecord ? (record as TapRecord) : undefined
  } catch {
    return undefined
  }
}
