import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { errorText } from '../os/failure.ts'
import { distrustOf, distrustText, ownUid } from '../os/trusted-path.ts'

/** What a configuration file is called that is found by itself. */
export const configurationFileName = 'port-watchdog.yaml'

export interface FoundFile {
  /** Absolute; undefined = there is none, and the defaults hold. */
  readonly file: string | undefined
  /** Files that are there and are not used, each with the reason in words. */
  readonly passedOver: readonly string[]
}

/**
 * The configuration file that is used without `--config`: `port-watchdog.yaml` in the current folder, then in
 * `$XDG_CONFIG_HOME/port-watchdog` or `~/.config/port-watchdog`, and for root in `/etc/port-watchdog`. One that another user could
 * have put there is passed over.
 */
export function findConfigurationFile(): FoundFile {
  const passedOver: string[] = []
  for (const folder of folders()) {
    const file = path.join(folder, configurationFileName)
    const why = existsSync(file) ? whyNot(file) : undefined
    if (why !== undefined) passedOver.push(`${file} is not used: ${why}`)
    else if (existsSync(file)) return { file, passedOver }
  }
  return { file: undefined, passedOver }
}

function whyNot(file: string): string | undefined {
  try {
    const distrust = distrustOf(file)
    return distrust === undefined ? undefined : distrustText(distrust)
  } catch (error) {
    return errorText(error)
  }
}

function folders(): string[] {
  const own = ownFolder()
  return [
    ...attempt(() => process.cwd()),
    ...(own === undefined ? [] : [path.join(own, 'port-watchdog')]),
    ...(ownUid() === 0 ? ['/etc/port-watchdog'] : []),
  ]
}

function ownFolder(): string | undefined {
  const { XDG_CONFIG_HOME } = process.env
  // A relative one is to be ignored, says its specification.
  if (XDG_CONFIG_HOME !== undefined && path.isAbsolute(XDG_CONFIG_HOME)) return XDG_CONFIG_HOME
  const [home] = attempt(homedir)
  return home === undefined || home === '' ? undefined : path.join(home, '.config')
}

/** The working folder may be removed, and a user may have no home. */
function attempt(find: () => string): string[] {
  try {
    return [find()]
  } catch {
    return []
  }
}
