import type { ForwardConfiguration } from '../../config/configuration.ts'
import { duration } from '../../os/duration.ts'
import { type Check, type Finding, note, ok, warning } from '../check.ts'

/** ms that clients and servers of HTTP keep an unused connection, at most: below it the forward cuts what they still count on. */
const keepAlive = 75_000

/** ms that systemd waits for a forwarder to end (TimeoutStopSec= of the units). */
const systemdPatience = 30_000

/** Judges the time-outs of one forward together. 0 = off. */
export function judgeTimeouts({ name, options }: ForwardConfiguration): Finding[] {
  const { idleTimeoutMs, firstByteTimeoutMs, drainMs, connectTimeoutMs, halfCloseTimeoutMs } = options
  const findings: Finding[] = []
  if (idleTimeoutMs > 0 && idleTimeoutMs < keepAlive) {
    findings.push(
      warning(
        'idle-timeout-short',
        `${name}: idleTimeout ${duration(idleTimeoutMs)} is below the keep-alive of HTTP (up to 75 s): idle connections and event streams are cut while both sides still use them`,
        'set it to 5m or more, or leave it out',
      ),
    )
  }
  if (firstByteTimeoutMs > 0) {
    findings.push(
      note(
        'first-byte-timeout',
        `${name}: with firstByteTimeout a protocol in which the server speaks first (SSH, SMTP, MySQL) never connects`,
        'leave it out for such a target',
      ),
    )
  }
  if (drainMs > systemdPatience) {
    findings.push(
      note(
        'drain-longer-than-systemd',
        `${name}: drain ${duration(drainMs)} is longer than systemd waits (30 s)`,
        'raise TimeoutStopSec= in the unit when it runs under systemd',
      ),
    )
  }
  if (connectTimeoutMs === 0)
    findings.push(
      note(
        'no-connect-timeout',
        `${name}: without connectTimeout a client of an unreachable target waits for about two minutes`,
        'set connectTimeout: 5s',
      ),
    )
  if (halfCloseTimeoutMs === 0)
    findings.push(
      note(
        'no-half-close-timeout',
        `${name}: without halfCloseTimeout a connection that one side has finished may stay for ever`,
        'set halfCloseTimeout: 60s',
      ),
    )
  return findings
}

export const timeouts: Check = {
  name: 'timeouts',
  run: ({ configuration }) => {
    if (configuration === undefined) return []
    const found = configuration.forwards.flatMap(judgeTimeouts)
    return found.length > 0 ? found : [ok('timeouts', 'the time-outs fit each other')]
  },
}
