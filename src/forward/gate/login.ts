/** The gate's login: its paths, its words and the files of its secrets. */
import path from 'node:path'
import { gateTokenVariable } from '../../config/forward-options.ts'
import { fileNames } from '../../record/state-directory.ts'
import { type LoginSecrets, loadLoginSecrets } from '../../web/login-secrets.ts'
import type { LoginWords } from '../../web/pages.ts'

/** Paths of the gate itself; no target's path begins like this. */
export const gatePaths = {
  prefix: '/.port-watchdog/',
  login: '/.port-watchdog/login',
  logout: '/.port-watchdog/logout',
  script: '/.port-watchdog/page.js',
} as const

export const gateWords: LoginWords = {
  heading: 'This port is behind a gate',
  whereTokenIs:
    'To see the token, run `proxy-status` on the machine that forwards this port. It names the file that holds it.',
  whatLogoutEnds: 'Ends your session in this browser, on every port behind the same gate.',
  howToLogIn:
    'Log in with a browser, or send Authorization: Bearer TOKEN, or X-Port-Watchdog-Token: TOKEN where the target needs its own.',
  strangersForm: 'This form came from a page that does not belong to this gate.',
}

/**
 * Reads or makes what the gates of one state directory share, so that a visitor logs in once for all of their ports.
 * @param tokenFile a file with a token of one's own; '' = none.
 * @throws Failure when the token that was asked for, or the key, cannot be used; exit code 78.
 */
export function loadGateSecrets(stateDirectory: string, tokenFile: string): LoginSecrets {
  return loadLoginSecrets({
    name: 'gate',
    tokenFile,
    tokenVariable: gateTokenVariable,
    ownTokenFile: path.join(stateDirectory, fileNames.gateToken),
    keyFile: path.join(stateDirectory, fileNames.gateKey),
  })
}
