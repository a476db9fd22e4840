import { readdirSync } from 'node:fs'
import path from 'node:path'
import { askControl } from '../control/client.ts'
import type { ForwarderHealth } from '../control/forwarder-health.ts'
import { bootId, monotonicMs, wallTime } from '../os/clock.ts'
import { errorCode } from '../os/failure.ts'
import { judgeProcess } from '../os/process-identity.ts'
import { judgePidFile, readPidFile } from '../record/pid-file.ts'
import { readRing } from '../record/ring-log.ts'
import { type ForwardRecord, readRuntimeState } from '../record/runtime-state.ts'
import { fileNames } from '../record/state-directory.ts'
import type { ForwardFacts, StatusFacts } from './status.ts'

/** ms that a forwarder may take to answer before it counts as silent. Its answer takes less than one when it is well. */
const answerWithinMs = 1000

/** How many log lines a report ends with. */
const logLines = 10

/**
 * Looks at everything there is: the records, the processes, the forwarders' own answers. Reads only; works when the monitor is dead,
 * hung or has never run.
 */
export async function gather(stateDirectory: string): Promise<StatusFacts> {
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  const records = reading.kind === 'read' ? reading.state.forwards : []
  const ports = new Set([...records.map(({ port }) => port), ...portsOnDisk(stateDirectory)])
  const forwards = await Promise.all(
    [...ports].map((port) =>
      lookAt(
        stateDirectory,
        port,
        records.find((record) => record.port === port),
      ),
    ),
  )
  return {
    takenAt: wallTime(),
    stateDirectory,
    nowMonotonicMs: monotonicMs(),
    bootId: bootId(),
    reading,
    writerVerdict: reading.kind === 'read' ? judgeProcess(reading.state.writer.identity) : undefined,
    forwards,
    log: readRing(path.join(stateDirectory, fileNames.logRing)).slice(-logLines),
  }
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
): Promise<ForwardFacts> {
  const pidFile = readPidFile(path.join(stateDirectory, fileNames.pidFile(port)))
  const verdict = judgePidFile(pidFile)
  const pid =
    pidFile.kind === 'identified' ? pidFile.identity.pid : pidFile.kind === 'legacy' ? pidFile.pid : undefined
  const process = verdict === undefined || pid === undefined ? undefined : { pid, verdict }
  const answer = await askHealth(path.join(stateDirectory, fileNames.forwarderSocket(port)))
  return typeof answer === 'string'
    ? { port, record, process, control: answer, health: undefined }
    : { port, record, process, control: 'answered', health: answer }
}

async function askHealth(socket: string): Promise<ForwarderHealth | 'silent' | 'absent'> {
  try {
    return (await askControl(socket, 'health', {}, answerWithinMs)) as ForwarderHealth
  } catch (error) {
    return errorCode(error) === 'ETIMEDOUT' ? 'silent' : 'absent'
  }
}
