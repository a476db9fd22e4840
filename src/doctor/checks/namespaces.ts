import { existsSync } from 'node:fs'
import path from 'node:path'
import { bootId } from '../../os/clock.ts'
import { system } from '../../os/system.ts'
import { ownIdentity, type ProcessIdentity } from '../../process/identity.ts'
import { readRuntimeState } from '../../record/runtime-state.ts'
import { fileNames } from '../../record/state-directory.ts'
import { type Check, type Finding, note, ok, warning } from '../check.ts'

/** Programs that, as PID 1, take care of processes whose parent has ended. */
const inits =
  /^(?:systemd|init|tini|docker-init|dumb-init|catatonit|s6-svscan|runit|openrc-init|busybox|launchd|podman-init|conmon)$/

export interface NamespaceFacts {
  readonly own: ProcessIdentity
  /** The monitor that wrote the records; undefined when there are none. */
  readonly writer: ProcessIdentity | undefined
  readonly bootId: string
  readonly isContainer: boolean
  /** What PID 1 runs; undefined when it cannot be read. */
  readonly first: string | undefined
}

export function judgeNamespaces({
  own,
  writer,
  bootId: boot,
  isContainer,
  first,
}: NamespaceFacts): Finding[] {
  const findings: Finding[] = []
  if (writer !== undefined && writer.bootId === boot && writer.pidNamespace !== own.pidNamespace) {
    findings.push(
      warning(
        'records-of-another-namespace',
        'the records in the state directory are from another PID namespace (another container, or the host): their processes cannot be seen from here',
        'run doctor and proxy-status where the monitor runs, or give each container a state directory of its own',
      ),
    )
  }
  if (isContainer && first !== undefined && !inits.test(path.basename(first))) {
    findings.push(
      note(
        'no-init',
        `PID 1 of this container is ${path.basename(first)}, which may leave ended processes behind`,
        'docker run --init, or init: true in compose.yaml',
      ),
    )
  }
  if (findings.length > 0) return findings
  return [
    ok(
      'namespaces',
      isContainer ? 'this is a container with an init' : 'the records are of this PID namespace',
    ),
  ]
}

export const namespaces: Check = {
  name: 'namespaces',
  run: ({ stateDirectory }) => {
    const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
    return judgeNamespaces({
      own: ownIdentity(),
      writer: reading.kind === 'read' ? reading.state.writer.identity : undefined,
      bootId: bootId(),
      isContainer: ['/.dockerenv', '/run/.containerenv'].some((file) => existsSync(file)),
      first: system.commandLine(1)?.[0],
    })
  },
}
