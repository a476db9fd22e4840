import { spawn } from 'node:child_process'

/**
 * Tells systemd how this service is doing (sd_notify(3)). Node has no datagram Unix sockets, so `systemd-notify` is run;
 * the unit therefore needs `NotifyAccess=all`. Does nothing when not started by systemd, and never fails.
 * @param states for example `READY=1`, `STATUS=2 forwards healthy`, `WATCHDOG=1`, `STOPPING=1`.
 */
export function notifyServiceManager(...states: string[]): void {
  if (!isServiceManagerListening() || !isMeant(process.env, process.pid)) return
  const child = spawn('systemd-notify', states, { stdio: 'ignore' })
  child.on('error', () => {})
}

/**
 * Tells systemd that another process of this service is its main one from now on, so that the end of this one is not taken for the
 * service's (`MAINPID=` of sd_notify(3)).
 * @returns when systemd has heard it; false when it could not be told.
 */
export function announceMainProcess(pid: number): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('systemd-notify', [`MAINPID=${pid}`], { stdio: 'ignore' })
    // It waits until systemd has taken the message.
    child.once('exit', (code) => resolve(code === 0))
    child.once('error', () => resolve(false))
  })
}

/** True when systemd listens to what this service says of itself. */
export function isServiceManagerListening(): boolean {
  return Boolean(process.env.NOTIFY_SOCKET)
}

/** True when systemd expects watchdog pings of this process (WATCHDOG_USEC set, sd_watchdog_enabled(3)). */
export function watchdogPingsExpected(): boolean {
  const { WATCHDOG_USEC, WATCHDOG_PID } = process.env
  return Number(WATCHDOG_USEC) > 0 && (WATCHDOG_PID ?? String(process.pid)) === String(process.pid)
}

/**
 * False when the variables of a service manager are those of another service, which this process is only a descendant of: a shell that a
 * service runs passes them on. Before systemd 248 nothing tells.
 */
export function isMeant({ SYSTEMD_EXEC_PID }: NodeJS.ProcessEnv, pid: number): boolean {
  return SYSTEMD_EXEC_PID === undefined || SYSTEMD_EXEC_PID === String(pid)
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
