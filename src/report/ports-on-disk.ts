import { namesIn } from '../os/directory-names.ts'

/**
 * The ports of forwards that have files in a state directory: also of those that no monitor has written of, started by hand for example.
 */
export function portsOnDisk(stateDirectory: string): readonly number[] {
  try {
    return namesIn(stateDirectory).flatMap((name) => {
      const port = /^tcp_proxy_(\d+)\.(?:pid|sock)$/.exec(name)?.[1]
      return port === undefined ? [] : [Number(port)]
    })
  } catch {
    return []
  }
}
