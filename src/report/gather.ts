import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { readChannelHealth } from '../alert/channel-records.ts'
import { readOpenIncidents } from '../alert/open-incidents.ts'
import { askControl } from '../control/client.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { errorCode, exitCode, Failure } from '../os/failure.ts'
import { judgeProcess } from '../os/process-identity.ts'
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
import type { DetailFacts, ForwardFacts, StatusFacts } from './facts.ts'
import { readLogs } from './log-reader.ts'
import { logSources } from './log-source.ts'
import { ownPrograms } from './own-programs.ts'

/** ms that a forwarder may take to answer before it counts as silent. Its answer takes less than one when it is well. */
const answerWithinMs = 1000

/** How many log lines a report ends with. */
const logLines = 10

/** How many log lines and events are read of a forward that is asked for by name. */
const detailLines = 10

/**
 * Looks at everything there is: the records, the processes, the forwarders' own answers. Reads only; works when the monitor is dead,
 * hung or has never run.
 * @param asked names or ports; empty = all forwards, without details.
 * @throws Failure (64) when one that is asked for is not there.
 */
export async function gather(stateDirectory: string, asked: readonly string[] = []): Promise<StatusFacts> {
  const reading = await readState(stateDirectory)
  const records = reading.kind === 'read' ? reading.state.forwards : []
  const all = [...new Set([...records.map(({ port }) => port), ...portsOnDisk(stateDirectory)])]
  const ports = choose(all, records, asked)
  const recordOf = (port: number) => records.find((record) => record.port === port)
  const wanted = readDesiredState(stateDirectory)
  const forwards = await Promise.all(
    ports.map((port) => {
      const record = recordOf(port)
      return lookAt(stateDirectory, port, record, record && wanted.get(record.name))
    }),
  )
  return {
    takenAt: wallTime(),
    stateDirectory,
    directoryExists: existsSync(stateDirectory),
    programs: ownPrograms(),
    nowMonotonicMs: monotonicMs(),
    bootId: bootId(),
    reading,
    writerVerdict: reading.kind === 'read' ? judgeProcess(reading.state.writer.identity) : undefined,
    forwards,
    alertChannels: readChannelHealth(stateDirectory),
    openIncidents: readOpenIncidents(stateDirectory).filter(({ incident }) => {
      return asked.length === 0 || ports.includes(incident.port)
    }),
    details: asked.length === 0 ? [] : await readDetails(stateDirectory, ports, records),
    log: readRing(path.join(stateDirectory, fileNames.logRing)).slice(-logLines),
  }
}

/** What the monitor answers counts before its file, which is old when the disk is full. */
async function readState(stateDirectory: string): Promise<StateReading> {
  try {
    const socket = path.join(stateDirectory, fileNames.monitorSocket)
    const answer = parseRuntimeState(JSON.stringify(await askControl(socket, 'state', {}, answerWithinMs)))
    if (answer.kind === 'read') return answer
  } catch {
    // Nobody there, or hung, or of another version: the file tells.
  }
  return readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
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
  const process = verdict === undefined || pid === undefined ? undefined : { pid, verdict }
  const answer = await askHealth(path.join(stateDirectory, fileNames.forwarderSocket(port)))
  return typeof answer === 'string'
    ? { port, record, process, wantedDown, control: answer, health: undefined }
    : { port, record, process, wantedDown, control: 'answered', health: answer }
}

async function askHealth(socket: string): Promise<ForwarderHealth | 'silent' | 'absent'> {
  try {
    const answer = await askControl(socket, 'health', {}, answerWithinMs)
    return isForwarderHealth(answer) ? answer : 'silent'
  } catch (error) {
    // EAGAIN: nobody takes connections from the full queue of the socket.
    const code = errorCode(error)
    return code === 'ETIMEDOUT' || code === 'EAGAIN' ? 'silent' : 'absent'
  }
}
