import { spawn } from 'node:child_process'

/**
 * Tells systemd how this service is doing (sd_notify(3)). Node has no datagram Unix sockets, so `systemd-notify` is run;
 * the unit therefore needs `NotifyAccess=all`. Does nothing when not started by systemd, and never fails.
 * @param states for example `READY=1`, `STATUS=2 forwards healthy`, `WATCHDOG=1`, `STOPPING=1`.
 */
export function notifyServiceManager(...states: string[]): void {
  if (!process.env.NOTIFY_SOCKET) return
  const child = spawn('systemd-notify', states, { stdio: 'ignore' })
  child.on('error', () => {})
}

/** True when systemd expects watchdog pings of this process (WATCHDOG_USEC set, sd_watchdog_enabled(3)). */
export function watchdogPingsExpected(): boolean {
  return Number(process.env.WATCHDOG_USEC) > 0
}
