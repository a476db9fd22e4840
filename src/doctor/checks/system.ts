import { system } from '../../os/system.ts'
import { type Check, type Finding, failed, note, ok } from '../check.ts'

export interface SystemFacts {
  readonly name: typeof system.name
  /** /proc is not mounted. */
  readonly isBlind: boolean
  /** Programs that are needed and cannot be run. */
  readonly missing: readonly string[]
}

/** How processes and sockets are looked up, and whether that works. */
export function judgeSystem({ name, isBlind, missing }: SystemFacts): Finding {
  if (isBlind) {
    return failed(
      'system-blind',
      '/proc is not mounted: no process can be verified, so a forwarder that hangs is not ended',
      'mount -t proc proc /proc',
    )
  }
  if (missing.length > 0) {
    const which = missing.join(' and ')
    return failed(
      'system-tools-missing',
      `${which} cannot be run: processes and the holders of ports cannot be looked up without`,
      `install ${which}`,
    )
  }
  if (name === 'linux') return ok('system', 'processes and sockets are looked up in /proc')
  return note(
    'system-portable',
    'processes and sockets are looked up with ps and lsof: limits of memory and CPU time are not watched',
  )
}

export const systemCheck: Check = {
  name: 'system',
  run: () => [judgeSystem({ name: system.name, isBlind: system.isBlind(), missing: system.missingTools() })],
}
