import { existsSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { readChannelHealth } from '../alert/channel-records.ts'
import { readOpenIncidents } from '../alert/open-incidents.ts'
import { askControl, holderAfter } from '../control/client.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { isLoopback, machineAddresses } from '../os/interfaces.ts'
import { findPortHolder, type PortHolder } from '../os/port-holder.ts'
import { isElsewhere, judgeProcess, ownIdentity } from '../os/process-identity.ts'
import { readDesiredState, type WantedDown } from '../record/desired-state.ts'
import { type ForwarderHealth, isForwarderHealth } from '../record/forwarder-health.ts'
import { type ForwardEvent, type JournalEntry, readJournal } from '../record/journal.ts'
import { judgePidFile, readPidFile } from '../record/pid-file.ts'
import { readRing } from '../record/ring-log.ts'
import {
  type ForwardRecord,
  parseRuntimeState,
  readRuntimeState,
  type StateReading,
} from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import type { DetailFacts, ForwardFacts, StatusFacts } from './facts.ts'
import { watchedUntil } from './gather-history.ts'
import { hoursOfDay, lastDayOf } from './last-day.ts'
import { readLogs } from './log-reader.ts'
import { logSources } from './log-source.ts'
import { ownPrograms, shellWord } from './own-programs.ts'
import { type BytesSample, sampleOf, shortestSpanMs } from './rates.ts'

/** ms that a forwarder may take to answer before it counts as silent. Its answer takes less than one when it is well. */
const answerWithinMs = 1000

/** How many lines of the monitor's log a report carries. */
const logLines = 10

/** How many log lines and events are read of a forward that is asked for by name. */
const detailLines = 10

/** What one look leaves for the next one, so that rates are known and the journal is read only when it has grown. */
export interface LookMemory {
  samples?: ReadonlyMap<number, BytesSample>
  journal?: { readonly key: string; readonly entries: readonly JournalEntry[] }
}

export interface LookOptions {
  /** Names or ports; empty = all forwards, without details. */
  readonly asked?: readonly string[]
  /** Left out = there was no look before, and none follows: for rates a second one is taken at once where it is needed. */
  readonly memory?: LookMemory
  /** False leaves out rates and the last day, for who asks often for the state alone. */
  readonly withFigures?: boolean
}

/**
 * Looks at everything there is: the records, the processes, the forwarders' own answers. Reads only; works when the monitor is dead,
 * hung or has never run.
 * @throws Failure (64) when a forward that is asked for is not there.
 */
export async function gather(
  stateDirectory: string,
  { asked = [], memory, withFigures = true }: LookOptions = {},
): Promise<StatusFacts> {
  const { reading, control: monitorControl } = await readState(stateDirectory)
  const writer = reading.kind === 'read' ? reading.state.writer.identity : undefined
  const records = reading.kind === 'read' ? reading.state.forwards : []
  const all = [...new Set([...records.map(({ port }) => port), ...portsOnDisk(stateDirectory)])]
  const ports = choose(all, records, asked)
  const recordOf = (port: number) => records.find((record) => record.port === port)
  const wanted = readDesiredState(stateDirectory)
  const looked = await Promise.all(
    ports.map((port) => {
      const record = recordOf(port)
      return lookAt(stateDirectory, port, record, record && wanted.get(record.name))
    }),
  )
  const sameBoot = reading.kind === 'read' && reading.state.writer.identity.bootId === bootId()
  const forwards = withFigures ? await withSamples(stateDirectory, looked, sameBoot, memory) : looked
  return {
    takenAt: wallTime(),
    stateDirectory,
    directoryExists: existsSync(stateDirectory),
    directoryOption: directoryOption(stateDirectory),
    programs: ownPrograms(),
    nowMonotonicMs: monotonicMs(),
    // Without /proc nobody knows the boot; whoever answers is of this one.
    bootId:
      bootId() === 'unknown' && monitorControl === 'answered' && writer !== undefined
        ? writer.bootId
        : bootId(),
    pidNamespace: ownIdentity().pidNamespace,
    machineAddresses: machineAddresses().map(({ address }) => address),
    reading,
    writerVerdict: writer === undefined ? undefined : judgeProcess(writer),
    writerIsElsewhere: writer !== undefined && isElsewhere(writer),
    monitorControl,
    forwards,
    lastDay: withFigures ? await readLastDay(stateDirectory, reading, memory) : new Map(),
    alertChannels: readChannelHealth(stateDirectory),
    openIncidents: readOpenIncidents(stateDirectory).filter(({ incident }) => {
      return asked.length === 0 || ports.includes(incident.port)
    }),
    details: asked.length === 0 ? [] : await readDetails(stateDirectory, ports, records),
    log: readRing(path.join(stateDirectory, fileNames.logRing)).slice(-logLines),
  }
}

/** ms to a second look, where there was none before. */
const secondLookMs = 200

/** With what each forward had carried before: at the last look, by the monitor's records, or else a moment ago. */
async function withSamples(
  stateDirectory: string,
  forwards: readonly ForwardFacts[],
  sameBoot: boolean,
  memory: LookMemory | undefined,
): Promise<readonly ForwardFacts[]> {
  const now = monotonicMs()
  const before = (facts: ForwardFacts) =>
    memory?.samples?.get(facts.port) ?? recordedSample(facts, sameBoot, now)
  const known = forwards.map((facts) => ({ ...facts, bytesBefore: before(facts) }))
  if (memory !== undefined) {
    memory.samples = new Map(
      forwards.flatMap(({ port, health }) => (health === undefined ? [] : [[port, sampleOf(health, now)]])),
    )
    return known
  }
  const isUnknown = ({ health, bytesBefore }: ForwardFacts) =>
    health !== undefined && bytesBefore === undefined
  if (!known.some(isUnknown)) return known
  await after(secondLookMs)
  return Promise.all(
    known.map(async (facts) => {
      if (!isUnknown(facts) || facts.health === undefined) return facts
      const again = await askHealth(path.join(stateDirectory, fileNames.forwarderSocket(facts.port)))
      return typeof again === 'string'
        ? facts
        : { ...facts, health: again, bytesBefore: sampleOf(facts.health, now) }
    }),
  )
}

function recordedSample({ record }: ForwardFacts, sameBoot: boolean, now: number): BytesSample | undefined {
  if (!sameBoot || record?.health == null || record.lastCheckAt === null) return undefined
  return now - record.lastCheckAt < shortestSpanMs ? undefined : sampleOf(record.health, record.lastCheckAt)
}

/** Parts of the journal that are read at most: a forward about which nothing was written for so long is not worth more. */
const partsForLastDay = 3

async function readLastDay(
  stateDirectory: string,
  reading: StateReading,
  memory: LookMemory | undefined,
): Promise<StatusFacts['lastDay']> {
  const now = Date.now()
  const names = reading.kind === 'read' ? reading.state.forwards.map(({ name }) => name) : []
  const key = `${journalKey(stateDirectory)} ${names.join(' ')}`
  const known = memory?.journal
  const entries = known?.key === key ? known.entries : await readRecent(stateDirectory, names, now)
  if (memory !== undefined) memory.journal = { key, entries }
  return lastDayOf(entries, now, watchedUntil(reading))
}

async function readRecent(
  stateDirectory: string,
  names: readonly string[],
  now: number,
): Promise<JournalEntry[]> {
  const from = now - (hoursOfDay + 1) * 3_600_000
  const missing = new Set(names)
  return readJournal(stateDirectory, (entries, parts) => {
    for (const entry of entries) if (entry.event === 'forward') missing.delete(entry.forward)
    const reachesBack = Date.parse(entries[0]?.time ?? '') < from
    return parts >= partsForLastDay || (reachesBack && missing.size === 0)
  })
}

/** Changes when something is written to the journal. */
function journalKey(stateDirectory: string): string {
  const facts = statSync(path.join(stateDirectory, fileNames.journal), { throwIfNoEntry: false })
  return facts === undefined ? 'none' : `${facts.ino} ${facts.size}`
}

/** What our other commands need to find the same state directory. */
function directoryOption(stateDirectory: string): string {
  try {
    if (readersDirectory(undefined) === stateDirectory) return ''
  } catch {
    // The usual place is not to be believed: it has to be named.
  }
  return ` --state-dir ${shellWord(stateDirectory)}`
}

/** What the monitor answers counts before its file, which is old when the disk is full. */
async function readState(
  stateDirectory: string,
): Promise<{ readonly reading: StateReading; readonly control: 'answered' | 'silent' | 'absent' }> {
  let control: 'silent' | 'absent' = 'silent'
  try {
    const socket = path.join(stateDirectory, fileNames.monitorSocket)
    const answer = parseRuntimeState(JSON.stringify(await askControl(socket, 'state', {}, answerWithinMs)))
    if (answer.kind === 'read') return { reading: answer, control: 'answered' }
  } catch (error) {
    // Nobody there, or hung, or of another version: the file tells.
    if (holderAfter(error) === 'absent') control = 'absent'
  }
  return { reading: readRuntimeState(path.join(stateDirectory, fileNames.runtimeState)), control }
}

function choose(
  ports: readonly number[],
  records: readonly ForwardRecord[],
  asked: readonly string[],
): readonly number[] {
  if (asked.length === 0) return ports
  return asked.map((word) => {
    const port =
      records.find(({ name }) => name === word)?.port ?? ports.find((known) => String(known) === word)
    if (port !== undefined) return port
    const known = ports.map((one) => records.find((record) => record.port === one)?.name ?? String(one))
    const what = known.length === 0 ? 'there are no forwards' : `there are ${known.join(', ')}`
    throw new Failure(`no forward "${word}"; ${what}`, exitCode.usage)
  })
}

async function readDetails(
  stateDirectory: string,
  ports: readonly number[],
  records: readonly ForwardRecord[],
): Promise<DetailFacts[]> {
  const sources = logSources(stateDirectory)
  const journal = await readJournal(stateDirectory)
  return ports.map((port) => {
    const own = sources.filter((source) => source.port === port)
    const events = journal.filter((entry): entry is JournalEntry & ForwardEvent => {
      return entry.event === 'forward' && entry.port === port
    })
    const pidFile = readPidFile(path.join(stateDirectory, fileNames.pidFile(port)))
    return {
      port,
      identity:
        pidFile.kind === 'identified'
          ? pidFile.identity
          : (records.find((record) => record.port === port)?.identity ?? undefined),
      log: readLogs(own, { tail: detailLines, level: 'info', since: undefined }),
      events: events.slice(-detailLines),
    }
  })
}

/** Forwards that no monitor has written of, started by hand for example. */
function portsOnDisk(stateDirectory: string): number[] {
  try {
    return readdirSync(stateDirectory).flatMap((name) => {
      const port = /^tcp_proxy_(\d+)\.(?:pid|sock)$/.exec(name)?.[1]
      return port === undefined ? [] : [Number(port)]
    })
  } catch {
    return []
  }
}

async function lookAt(
  stateDirectory: string,
  port: number,
  record: ForwardRecord | undefined,
  wantedDown: WantedDown | undefined,
): Promise<ForwardFacts> {
  const pidFile = readPidFile(path.join(stateDirectory, fileNames.pidFile(port)))
  const verdict = judgePidFile(pidFile)
  const pid =
    pidFile.kind === 'identified' ? pidFile.identity.pid : pidFile.kind === 'legacy' ? pidFile.pid : undefined
  const elsewhere = pidFile.kind === 'identified' && isElsewhere(pidFile.identity)
  const process =
    verdict === undefined || pid === undefined ? undefined : { pid, verdict, isElsewhere: elsewhere }
  const holder = record?.phase === 'blocked' ? findHolder(record) : undefined
  const answer = await askHealth(path.join(stateDirectory, fileNames.forwarderSocket(port)))
  return typeof answer === 'string'
    ? { port, record, process, wantedDown, holder, control: answer, health: undefined }
    : { port, record, process, wantedDown, holder, control: 'answered', health: answer }
}

/** Who is in the way on an address that other machines reach; where nobody is, on any, unless that may be the target itself. */
function findHolder({ port, target }: ForwardRecord): PortHolder | undefined {
  for (const { address } of machineAddresses()) {
    const holder = isLoopback(address) ? undefined : findPortHolder(port, address)
    if (holder !== undefined) return holder
  }
  return target.endsWith(`:${port}`) ? undefined : findPortHolder(port, '0.0.0.0')
}

async function askHealth(socket: string): Promise<ForwarderHealth | 'silent' | 'absent'> {
  try {
    const answer = await askControl(socket, 'health', {}, answerWithinMs)
    return isForwarderHealth(answer) ? answer : 'silent'
  } catch (error) {
    return holderAfter(error) === 'absent' ? 'absent' : 'silent'
  }
}
