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
    async start(forwards, folder, limits) {
      const units = join(folder, 'units')
      mkdirSync(units)
      for (const forward of forwards) {
        writeFileSync(
          join(units, unitName(forward.port)),
          `[Unit]
DefaultDependencies=no
${limits === 'lifted' ? 'StartLimitIntervalSec=0' : ''}
[Service]
ExecStart=${forwarderCommand(root, forward, folder).join(' ')}
Restart=always
`,
        )
      }
      const wanted = forwards.map(({ port }) => `Wants=${unitName(port)}\n`).join('')
      writeFileSync(join(units, 'default.target'), `[Unit]\nDefaultDependencies=no\n${wanted}`)
      const launched = inForeground(userManagerCommand(root, folder), folder)
      const stop = async () => {
        await launched.stop()
        removeCgroups(folder)
      }
      const pid = await managerOf(launched.pid)
      if (pid !== undefined) return { pid, stop }
      await stop()
      throw new Error(`no manager came up: ${lastWords(folder)}`)
    },
  }
}

const unitName = (port: number) => `forward-${port}.service`

/** The manager's PID as seen from here. Its cgroup is named by the launcher's. Nothing tells when it is up, so it is looked for. */
async function managerOf(launcher: number): Promise<number | undefined> {
  const isIt = (pid: number) =>
    wordsOf(pid)[0] === managerProgram && readProc(`/proc/${pid}/cgroup`).includes(cgroupOf(launcher))
  for (let tries = 0; tries < 500; tries++) {
    const pid = allPids().find(isIt)
    if (pid !== undefined) return pid
    await sleep(10)
  }
  return undefined
}
