import { readdirSync, statSync } from 'node:fs'

/** ms after which a change of a folder gives it another time for certain. */
const clockTicksMs = 100

let listed:
  | { readonly directory: string; readonly changedAt: number; readonly ports: readonly number[] }
  | undefined

/**
 * The ports of forwards that have files in a state directory: also of those that no monitor has written of, started by hand for example. It
 * has thousands of names where many programs print, and is listed again only when it has changed.
 */
export function portsOnDisk(stateDirectory: string): readonly number[] {
  try {
    const changedAt = statSync(stateDirectory).mtimeMs
    if (listed?.directory === stateDirectory && listed.changedAt === changedAt) return listed.ports
    const ports = readdirSync(stateDirectory).flatMap((name) => {
      const port = /^tcp_proxy_(\d+)\.(?:pid|sock)$/.exec(name)?.[1]
      return port === undefined ? [] : [Number(port)]
    })
    const isSettled = Math.abs(Date.now() - changedAt) > clockTicksMs
    listed = isSettled ? { directory: stateDirectory, changedAt, ports } : undefined
    return ports
  } catch {
    return []
  }
}
