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

/**
 * Whether this process is one that systemd itself started, and will start again: not a child of such a one, which has the same
 * variables. Before systemd 248 only a service with sockets can tell.
 */
export function supervisorOf(environment: NodeJS.ProcessEnv, pid: number): 'systemd' | null {
  const { SYSTEMD_EXEC_PID, INVOCATION_ID, LISTEN_PID } = environment
  const meant = SYSTEMD_EXEC_PID ?? (INVOCATION_ID === undefined ? undefined : LISTEN_PID)
  return meant === String(pid) ? 'systemd' : null
}

/** Told once, because what is inherited is taken out of the environment. */
export const ownSupervisor = supervisorOf(process.env, process.pid)
