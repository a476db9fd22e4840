// systemd's service manager, run for the bench alone: see `systemd-user`.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { allPids, readProc } from '../forwarders/processes.ts'
import { forwarderCommand, wordsOf } from './forwards.ts'
import { inForeground, lastWords, type Supervisor } from './supervisor.ts'

const MANAGER = '/lib/systemd/systemd'

export function systemd(root: string): Supervisor {
  const launcher = join(root, 'scripts/bench/supervisors/systemd-user')
  return {
    name: 'systemd',
    missing: whyNot(),
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
      const launched = inForeground([launcher, folder], folder)
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

function whyNot(): string | undefined {
  if (!existsSync(MANAGER)) return 'not installed'
  if (process.getuid?.() !== 0) return 'needs root, for namespaces'
  const { status } = spawnSync('unshare', ['--pid', '--mount', '--fork', 'true'])
  return status === 0 ? undefined : 'no namespaces can be made here'
}

/** The manager's PID as seen from here. Its cgroup is named by the launcher's. Nothing tells when it is up, so it is looked for. */
async function managerOf(launcher: number): Promise<number | undefined> {
  const isIt = (pid: number) =>
    wordsOf(pid)[0] === MANAGER && readProc(`/proc/${pid}/cgroup`).includes(`bench-recovery-${launcher}`)
  for (let tries = 0; tries < 500; tries++) {
    const pid = allPids().find(isIt)
    if (pid !== undefined) return pid
    await sleep(10)
  }
  return undefined
}

/**
 * Removes the cgroups of a manager that was killed. Waits without turning the event loop, so that it can be used on the way out too:
 * the kernel lets a cgroup go a moment after the last process in it.
 */
export function removeCgroups(folder: string): void {
  const file = join(folder, 'cgroups')
  if (!existsSync(file)) return
  const clock = new Int32Array(new SharedArrayBuffer(4))
  for (const cgroup of readFileSync(file, 'utf8').split('\n')) {
    for (let tries = 0; tries < 200 && cgroup !== '' && !removed(cgroup); tries++)
      Atomics.wait(clock, 0, 0, 10)
  }
}

/** rmdir alone: the files in a cgroup are the kernel's and go with it. */
function removed(cgroup: string): boolean {
  try {
    if (!existsSync(cgroup)) return true
    for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
      if (entry.isDirectory() && !removed(join(cgroup, entry.name))) return false
    }
    rmdirSync(cgroup)
    return true
  } catch {
    return false
  }
}
