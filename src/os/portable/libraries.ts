/*
 * Libraries that answer people: `proxy-status --processes`, `doctor`, and a start that fails. They are slower than `system` and loaded only here.
 */

export interface ListedProcess {
  readonly pid: number
  readonly parent: number
  /** The effective user; undefined when `ps` does not tell. */
  readonly uid: number | undefined
  /** Its arguments, joined with spaces. */
  readonly command: string
}

/** Every process of this PID namespace. @throws where `ps` is missing, as in small container images. */
export async function listProcesses(): Promise<readonly ListedProcess[]> {
  const { default: psList } = await import('ps-list')
  return (await psList()).map(({ pid, ppid, uid, cmd = '' }) => ({ pid, parent: ppid, uid, command: cmd }))
}

/** One process that has a port, on whatever address, by `ss`, `netstat` or `lsof`; undefined when none is found. */
export async function findByPort(
  port: number,
): Promise<{ readonly pid: number; readonly command: string } | undefined> {
  const { default: find } = await import('find-process')
  const [found] = await find('port', port, { logLevel: 'error' })
  return found && { pid: found.pid, command: found.cmd || found.name }
}
