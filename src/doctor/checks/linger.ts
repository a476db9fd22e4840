import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { ownUid } from '../../os/trusted-path.ts'
import { type Check, type Finding, ok, warning } from '../check.ts'

export interface LingerFacts {
  readonly user: string
  /** The user's own service is installed. */
  readonly hasUserService: boolean
  /** The state directory is one that logind removes at the last logout. */
  readonly isStateInRuntime: boolean
  /** Undefined = this machine has no logind. */
  readonly lingers: boolean | undefined
}

export function judgeLinger({ user, hasUserService, isStateInRuntime, lingers }: LingerFacts): Finding[] {
  const cure = `loginctl enable-linger ${user}`
  if (lingers === false && hasUserService) {
    return [warning('service-ends-at-logout', 'the service of this user ends when you log out', cure)]
  }
  if (lingers === false && isStateInRuntime) {
    return [
      warning(
        'state-ends-at-logout',
        'the state directory is removed when you log out, and a monitor in the background may be killed',
        cure,
      ),
    ]
  }
  return [ok('linger', lingers ? `processes of ${user} outlive a logout` : 'nothing here ends at a logout')]
}

export const linger: Check = {
  name: 'linger',
  run: async ({ stateDirectory }) => {
    const { XDG_CONFIG_HOME, XDG_RUNTIME_DIR } = process.env
    const units = path.join(XDG_CONFIG_HOME || path.join(homedir(), '.config'), 'systemd', 'user')
    const user = nameOfUser()
    return judgeLinger({
      user,
      hasUserService: existsSync(path.join(units, 'proxy-monitor.service')),
      isStateInRuntime: Boolean(XDG_RUNTIME_DIR) && `${stateDirectory}/`.startsWith(`${XDG_RUNTIME_DIR}/`),
      lingers: ownUid() === 0 ? true : await doesLinger(user),
    })
  },
}

function nameOfUser(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run as a user without a name.
    return String(ownUid())
  }
}

/** logind keeps an empty file for each user that lingers. */
async function doesLinger(user: string): Promise<boolean | undefined> {
  if (existsSync(`/var/lib/systemd/linger/${user}`)) return true
  if (!existsSync('/run/systemd/system')) return undefined
  try {
    const { stdout } = await promisify(execFile)('loginctl', ['show-user', user, '--property=Linger'], {
      timeout: 2000,
    })
    return stdout.trim() === 'Linger=yes'
  } catch {
    return false
  }
}
