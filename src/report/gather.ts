/**
 * report/: what people and programs read. It never writes a file and never signals, and works when the monitor is dead.
 *
 *   gather.ts (records, processes, the forwarders' own answers: facts) -> assess.ts (pure: verdicts and advice) -> render.ts (text)
 *   log-source.ts, log-follower.ts -> render-log.ts;   history.ts (the journal) -> render-history.ts, why.ts;   screen/ for --watch
 *
 * A new fact is looked at in gather.ts, gets its place in `StatusFacts` (facts.ts) and in the report (record/shapes/), and is judged in a
 * `…-verdict.ts`. A cure goes to advice.ts.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { readChannelHealth } from '../alert/channel-records.ts'
import { readOpenIncidents } from '../alert/open-incidents.ts'
import { askControl, holderAfter } from '../control/client.ts'
import type { LogEntry } from '../log/entry.ts'
import { readRing } from '../log/ring-log.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { isLoopback, machineAddresses } from '../os/interfaces.ts'
import { isElsewhere, judgeProcess, ownIdentity, type ProcessIdentity } from '../process/identity.ts'
import { findPortHolder } from '../process/port-holder.ts'
import type { ProcessSummary } from '../process/summary.ts'
import { readDesiredState, type WantedDown } from '../record/desired-state.ts'
import { judgePidFile, readPidFile } from '../record/pid-file.ts'
import { parseRuntimeState, readRuntimeState, type StateReading } from '../record/runtime-state.ts'
import { type ForwarderHealth, forwarderHealth } from '../record/shapes/forwarder-health.ts'
import {
  type ForwardRecord,
  type ProgramRecord,
  programId,
  programsIn,
  type RuntimeState,
} from '../record/shapes/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import type { DetailFacts, ForwardFacts, ProgramFacts, StartingMonitor, StatusFacts } from './facts.ts'
import { type JournalMemory, lastDayIn, lastEventsOf, readRecentJournal } from './gather-journal.ts'
import { readLogs } from './log-reader.ts'
import { logSources } from './log-source.ts'
import { ownPrograms, shellWord } from './own-programs.ts'
import { portsOnDisk } from './ports-on-disk.ts'
import { type BytesSample, sampleOf, shortestSpanMs } from './rates.ts'
import { recentVerdict } from './recent-verdicts.ts'
import { startingByAnswer, startingByProcess } from './starting-monitor.ts'

/** ms that a forwarder may take to answer before it counts as silent. Its answer takes less than one when it is well. */
const answerWithinMs = 1000

/** How many lines of the monitor's log a report carries. */
const logLines = 10

/** How many log lines and events are read of a forward that is asked for by name. */
const detailLines = 10

/** What one look leaves for the next one, so that rates are known and the journal is read only when it has grown. */
export interface LookMemory {
  samples?: ReadonlyMap<number, BytesSample>
  journal?: JournalMemory
}

export interface LookOptions {
  /** Names or ports; empty = all forwards, without details. */
  readonly asked?: readonly string[]
  /** Left out = there was no look before, and none follows: for rates a second one is taken at once where it is needed. */
  readonly memory?: LookMemory
  /** Keeps what was read of the journal, without rates; `memory` keeps both. */
  readonly journal?: Pick<LookMemory, 'journal'>
  /** What the monitor says, where it is the monitor that looks; left out = it is asked. */
  readonly state?: RuntimeState
  /** False leaves out rates and the last day, for callers that often need only the state. */
  readonly withFigures?: boolean
  /** The newest lines that a program printed. Handed in, because what reads them stands above this room. */
  readonly linesOf?: (program: string, count: number) => Promise<readonly LogEntry[]>
}

/**
 * Looks at everything there is: the records, the processes, the forwarders' own answers. Reads only; works when the monitor is dead,
 * hung or has never run.
 * @throws Failure (64) when a forward that is asked for is not there.
 */
export async function gather(
  stateDirectory: string,
  { asked = [], memory, journal = memory, state, withFigures = true, linesOf }: LookOptions = {},
): Promise<StatusFacts> {
  const {
    reading,
    control: monitorControl,
    starting,
  } = state === undefined ? await readState(stateDirectory) : ownReading(state)
  const writer = reading.kind === 'read' ? reading.state.writer.identity : undefined
  const records = reading.kind === 'read' ? reading.state.forwards : []
  const all = [...new Set([...records.map(({ port }) => port), ...portsOnDisk(stateDirectory)])]
  const programRecords = reading.kind === 'read' ? programsIn(reading.state) : []
  const { ports, programs } = choose(all, records, programRecords, asked)
  const recordOf = (port: number) => records.find((record) => record.port === port)
  const wanted = readDesiredState(stateDirectory)
  const looked = await Promise.all(
    ports.map((port) => {
      const record = recordOf(port)
      return lookAt(stateDirectory, port, record, record && wanted.get(record.name))
    }),
  )
  const sameBoot = reading.kind === 'read' && reading.state.writer.identity.bootId === bootId()
  // What is told of neither the last day nor a unit's events needs none of it.
  const needsJournal = withFigures || asked.length > 0
  const events = needsJournal ? await readRecentJournal(stateDirectory, reading, journal?.journal) : undefined
  if (journal !== undefined && events !== undefined) journal.journal = events
  const forwards = withFigures ? await withSamples(stateDirectory, looked, sameBoot, memory) : looked
  return {
    takenAt: wallTime(),
    stateDirectory,
    directoryExists: existsSync(stateDirectory),
    directoryOption: directoryOption(stateDirectory),
    programs: ownPrograms(),
    nowMonotonicMs: monotonicMs(),
    // Without /proc the boot is unknown; a process that answers belongs to this one.
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
    startingMonitor: starting,
    forwards,
    programFacts: programs.map((record) =>
      lookAtProgram(
        stateDirectory,
        record,
        wanted.get(record.name),
        monitorControl === 'answered',
        // The monitor is asked again and again.
        state === undefined ? judgeProcess : (identity) => recentVerdict(identity, programs.length),
      ),
    ),
    lastDay: withFigures && events !== undefined ? lastDayIn(events, reading) : new Map(),
    alertChannels: readChannelHealth(stateDirectory),
    openIncidents: readOpenIncidents(stateDirectory).filter(({ incident }) => {
      const isAsked = programs.some(({ unit, name }) => incident.unit === (unit ?? programId(name)))
      return asked.length === 0 || ports.includes(incident.port) || isAsked
    }),
    details:
      asked.length === 0 || events === undefined
        ? []
        : await readDetails(stateDirectory, { ports, programs, records, events, linesOf }),
    log: readRing(path.join(stateDirectory, fileNames.logRing), logLines),
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

/** What our other commands need to find the same state directory. */
function directoryOption(stateDirectory: string): string {
  try {
    if (readersDirectory(undefined) === stateDirectory) return ''
  } catch {
    // The usual place is not to be believed: it has to be named.
  }
  return ` --state-dir ${shellWord(stateDirectory)}`
}

interface MonitorReading {
  readonly reading: StateReading
  readonly control: 'answered' | 'silent' | 'absent'
  readonly starting?: StartingMonitor | undefined
}

function ownReading(state: RuntimeState): MonitorReading {
  return { reading: { kind: 'read', state }, control: 'answered' }
}

/** What the monitor answers counts before its file, which is old when the disk is full. */
async function readState(stateDirectory: string): Promise<MonitorReading> {
  let control: 'silent' | 'absent' = 'silent'
  try {
    const socket = path.join(stateDirectory, fileNames.monitorSocket)
    const state = await askControl(socket, 'state', {}, answerWithinMs)
    const answer = parseRuntimeState(JSON.stringify(state))
    if (answer.kind === 'read') return { reading: answer, control: 'answered' }
    if (state === null) {
      const starting = startingByAnswer(await askControl(socket, 'identify', {}, answerWithinMs))
      return { reading: readFile(stateDirectory), control: 'silent', starting }
    }
  } catch (error) {
    // It is gone, hangs, or is of another version: the file has to do.
    if (holderAfter(error) === 'absent') control = 'absent'
  }
  const reading = readFile(stateDirectory)
  const starting =
    control === 'absent' && !isAlive(reading) ? await startingByProcess(stateDirectory) : undefined
  return { reading, control, starting }
}

function readFile(stateDirectory: string): StateReading {
  return readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
}

function isAlive(reading: StateReading): boolean {
  if (reading.kind !== 'read' || reading.state.stopped !== null) return false
  const verdict = judgeProcess(reading.state.writer.identity)
  return verdict !== 'gone' && verdict !== 'reused'
}

/** What was asked for by name or port; everything when nothing was. */
function choose(
  ports: readonly number[],
  records: readonly ForwardRecord[],
  programs: readonly ProgramRecord[],
  asked: readonly string[],
): { readonly ports: readonly number[]; readonly programs: readonly ProgramRecord[] } {
  if (asked.length === 0) return { ports, programs }
  const chosenPorts: number[] = []
  const chosenPrograms: ProgramRecord[] = []
  for (const word of asked) {
    const program = programs.find(({ name }) => name === word)
    const port =
      records.find(({ name }) => name === word)?.port ?? ports.find((known) => String(known) === word)
    // The name of a program stands for all its copies.
    const copies = programs.filter(({ group }) => group === word)
    if (program !== undefined) chosenPrograms.push(program)
    else if (port !== undefined) chosenPorts.push(port)
    else if (copies.length > 0) chosenPrograms.push(...copies)
    else throw unknownUnit(word, ports, records, programs)
  }
  return { ports: [...new Set(chosenPorts)], programs: [...new Set(chosenPrograms)] }
}

function unknownUnit(
  word: string,
  ports: readonly number[],
  records: readonly ForwardRecord[],
  programs: readonly ProgramRecord[],
): Failure {
  const known = [
    ...ports.map((one) => records.find((record) => record.port === one)?.name ?? String(one)),
    ...programs.map(({ name }) => name),
  ]
  const what = known.length === 0 ? 'there are no forwards' : `there are ${known.join(', ')}`
  const kind = programs.length === 0 ? 'forward' : 'forward or program'
  return new Failure(`no ${kind} "${word}"; ${what}`, exitCode.usage)
}

function identityOnDisk(
  stateDirectory: string,
  { name, kind, identity }: ProgramRecord,
): ProcessIdentity | undefined {
  const file = kind === 'gateway' ? fileNames.gatewayPidFile : fileNames.programPidFile(name)
  const pidFile = readPidFile(path.join(stateDirectory, file))
  return pidFile.kind === 'identified' ? pidFile.identity : (identity ?? undefined)
}

/** @param isFresh the record comes from the monitor itself: then the PID file says nothing more. */
function lookAtProgram(
  stateDirectory: string,
  record: ProgramRecord,
  wantedDown: WantedDown | undefined,
  isFresh: boolean,
  judge: typeof judgeProcess,
): ProgramFacts {
  const identity =
    isFresh && record.identity !== null ? record.identity : identityOnDisk(stateDirectory, record)
  const process = identity && { identity, verdict: judge(identity) }
  const { phase, readyPort } = record
  const holder =
    phase === 'blocked' && readyPort !== null ? findPortHolder(readyPort, '127.0.0.1', '::1') : undefined
  return { record, process, wantedDown, holder }
}

async function readDetails(
  stateDirectory: string,
  {
    ports,
    programs,
    records,
    events,
    linesOf,
  }: {
    readonly ports: readonly number[]
    readonly programs: readonly ProgramRecord[]
    readonly records: readonly ForwardRecord[]
    readonly events: JournalMemory
    readonly linesOf: LookOptions['linesOf']
  },
): Promise<DetailFacts[]> {
  const haveLogs = ports.length > 0 || programs.some(({ kind }) => kind === 'gateway')
  const sources = haveLogs ? logSources(stateDirectory) : []
  const asked = [
    ...ports.map((port) => ({ port, name: undefined })),
    ...programs.map(({ name }) => ({ port: null, name })),
  ]
  const eventsOf = await lastEventsOf(asked, detailLines, stateDirectory, events)
  const forwardDetails = ports.map((port) => {
    const own = sources.filter((source) => source.port === port)
    const pidFile = readPidFile(path.join(stateDirectory, fileNames.pidFile(port)))
    return {
      port,
      identity:
        pidFile.kind === 'identified'
          ? pidFile.identity
          : (records.find((record) => record.port === port)?.identity ?? undefined),
      log: readLogs(own, { tail: detailLines, level: 'info', since: undefined }),
      events: eventsOf({ port, name: undefined }),
    }
  })
  const programDetails = await Promise.all(
    programs.map(async ({ name, kind, identity }) => ({
      port: null,
      program: name,
      identity: identity ?? undefined,
      log:
        kind === 'gateway'
          ? readLogs(
              sources.filter((source) => source.name === name),
              { tail: detailLines, level: 'info', since: undefined },
            )
          : ((await linesOf?.(name, detailLines)) ?? []),
      events: eventsOf({ port: null, name }),
    })),
  )
  return [...forwardDetails, ...programDetails]
}

async function lookAt(
  stateDirectory: string,
  port: number,
  record: ForwardRecord | undefined,
  wantedDown: WantedDown | undefined,
): Promise<ForwardFacts> {
  const pidFile = readPidFile(path.join(stateDirectory, fileNames.pidFile(port)))
  const before = judgePidFile(pidFile)
  const answer = await askHealth(path.join(stateDirectory, fileNames.forwarderSocket(port)))
  // One that does not answer may have died since, or have been stopped.
  const verdict = typeof answer === 'string' ? judgePidFile(pidFile) : before
  const pid =
    pidFile.kind === 'identified' ? pidFile.identity.pid : pidFile.kind === 'legacy' ? pidFile.pid : undefined
  const elsewhere = pidFile.kind === 'identified' && isElsewhere(pidFile.identity)
  const process =
    verdict === undefined || pid === undefined ? undefined : { pid, verdict, isElsewhere: elsewhere }
  const holder = record?.phase === 'blocked' ? findHolder(record) : undefined
  return typeof answer === 'string'
    ? { port, record, process, wantedDown, holder, control: answer, health: undefined }
    : { port, record, process, wantedDown, holder, control: 'answered', health: answer }
}

/** The process that holds the port on an address that other machines reach; otherwise on any address, unless that may be the target. */
function findHolder({ port, target }: ForwardRecord): ProcessSummary | undefined {
  const reachable = machineAddresses().flatMap(({ address }) => (isLoopback(address) ? [] : address))
  return findPortHolder(port, ...reachable, ...(target.endsWith(`:${port}`) ? [] : ['0.0.0.0']))
}

async function askHealth(socket: string): Promise<ForwarderHealth | 'silent' | 'absent'> {
  try {
    return forwarderHealth.read(await askControl(socket, 'health', {}, answerWithinMs)) ?? 'silent'
  } catch (error) {
    return holderAfter(error) === 'absent' ? 'absent' : 'silent'
  }
}
