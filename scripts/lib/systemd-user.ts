// A systemd user manager that runs confined: see `systemd-user` beside this file.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { basename, join } from 'node:path'

export const managerProgram = '/lib/systemd/systemd'

/** Why no manager can run here; undefined when it can. */
export function whyNoUserManager(): string | undefined {
  if (!existsSync(managerProgram)) return 'not installed'
  if (process.getuid?.() !== 0) return 'needs root, for namespaces'
  const { status } = spawnSync('unshare', ['--pid', '--mount', '--fork', 'true'])
  return status === 0 ? undefined : 'no namespaces can be made here'
}

/** The words that run a manager which knows the units in FOLDER/units and ends with this command. */
export function userManagerCommand(root: string, folder: string): [string, ...string[]] {
  return [join(root, 'scripts/lib/systemd-user'), folder]
}

/** What the cgroups of a manager are called. */
export const cgroupOf = (folder: string, launcher: number) => `systemd-user-${basename(folder)}-${launcher}`

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
