// systemd's service manager, run for the bench alone: see scripts/lib/systemd-user.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  cgroupOf,
  managerProgram,
  removeCgroups,
  userManagerCommand,
  whyNoUserManager,
} from '../../lib/systemd-user.ts'
import { allPids, readProc } from '../forwarders/processes.ts'
import { forwarderCommand, wordsOf } from './forwards.ts'
import { inForeground, lastWords, type Supervisor } from './supervisor.ts'

export function systemd(root: string): Supervisor {
  return {
    name: 'systemd',
    missing: whyNoUserManager(),
    looksEvery: undefined,
    lanes: 1,
    limited: true,
    cannotHold: undefined,
    async start(forwards, folder, limits) {
      const units = join(folder, 'units')
      mkdirSync(units)
      for (const forward of forwards) {
        writeFileSync(
          join(units, unitName(forward.port)),
          `[Unit]
DefaultDependencies=no
${limits !== 'shipped' ? 'StartLimitIntervalSec=0' : ''}
[Service]
ExecStart=${forwarderCommand(root, forward, folder).join(' ')}
Restart=always
`,
        )
      }
      if (limits === 'held')
        for (const { port } of forwards) writeFileSync(join(units, socketName(port)), socketUnit(port))
      const names = forwards.flatMap(({ port }) => [
        unitName(port),
        ...(limits === 'held' ? [socketName(port)] : []),
      ])
      const wanted = names.map((name) => `Wants=${name}\n`).join('')
      writeFileSync(join(units, 'default.target'), `[Unit]\nDefaultDependencies=no\n${wanted}`)
      const launched = inForeground(userManagerCommand(root, folder), folder)
      const stop = async () => {
        await launched.stop()
        removeCgroups(folder)
      }
      const pid = await managerOf(folder, launched.pid)
      if (pid !== undefined) return { pid, stop }
      await stop()
      throw new Error(`no manager came up: ${lastWords(folder)}`)
    },
  }
}

const unitName = (port: number) => `forward-${port}.service`
const socketName = (port: number) => `forward-${port}.socket`

/** Without a trigger limit, at which it would close the port. */
const socketUnit = (port: number) => `[Unit]
DefaultDependencies=no
Before=${unitName(port)}
[Socket]
ListenStream=127.0.0.1:${port}
TriggerLimitIntervalSec=0
`

/** The manager's PID as seen from here. Its cgroup is named by the launcher's. Nothing tells when it is up, so it is looked for. */
async function managerOf(folder: string, launcher: number): Promise<number | undefined> {
  const isIt = (pid: number) =>
    wordsOf(pid)[0] === managerProgram && readProc(`/proc/${pid}/cgroup`).includes(cgroupOf(folder, launcher))
  for (let tries = 0; tries < 500; tries++) {
    const pid = allPids().find(isIt)
    if (pid !== undefined) return pid
    await sleep(10)
  }
  return undefined
}
