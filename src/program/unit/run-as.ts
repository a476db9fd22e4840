/** A program that runs as another user: by setpriv(1), which takes on the user's groups as well. Node sets user and group alone, and no further groups. */
import type { Probe, ProgramConfiguration, ReadyCondition } from '../../config/program-configuration.ts'
import { errorText } from '../../os/failure.ts'
import { ownUid } from '../../os/trusted-path.ts'
import { groupId, type UserAccount, userAccount } from '../../os/user-account.ts'
import { utilityFile } from './open-files.ts'
import type { ProgramFault } from './vocabulary.ts'

/** Whose the files are that a program gets open from this process. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

export type RunAs =
  | {
      readonly ok: true
      /** Every command of the program as one that this process can run. */
      readonly configuration: ProgramConfiguration
      /** The same for another command of the program, such as an action. */
      readonly words: (command: readonly string[]) => readonly string[]
      /** Undefined = it runs as the user of this process. */
      readonly owner: Owner | undefined
    }
  | { readonly ok: false; readonly fault: ProgramFault }

/** Looks the user up, which may be gone since the last start. */
export function runAs(configuration: ProgramConfiguration): RunAs {
  const { user, group } = configuration
  if (user === undefined) return { ok: true, configuration, words: (command) => command, owner: undefined }
  try {
    const account = userAccount(user)
    if (account === undefined) return { ok: false, fault: { code: 'user-unknown', user } }
    const gid = group === undefined ? account.gid : groupId(group)
    if (gid === undefined) return { ok: false, fault: { code: 'group-unknown', group: group ?? '' } }
    if (ownUid() !== 0) {
      const isOwn = account.uid === ownUid() && group === undefined
      if (!isOwn) return { ok: false, fault: { code: 'not-root', user } }
      return { ok: true, configuration, words: (command) => command, owner: undefined }
    }
    const setpriv = utilityFile('setpriv')
    if (setpriv === undefined) return { ok: false, fault: { code: 'setpriv-missing' } }
    const words = (command: readonly string[]) => [setpriv, ...identityWords(account, gid), '--', ...command]
    return {
      ok: true,
      configuration: withUser(configuration, account, words),
      words,
      owner: { uid: account.uid, gid },
    }
  } catch (error) {
    return { ok: false, fault: { code: 'user-unreadable', user, why: errorText(error) } }
  }
}

function identityWords({ uid }: UserAccount, gid: number): readonly string[] {
  return ['--reuid', String(uid), '--regid', String(gid), '--init-groups']
}

function withUser(
  configuration: ProgramConfiguration,
  { name, home, shell }: UserAccount,
  words: (command: readonly string[]) => readonly string[],
): ProgramConfiguration {
  const { command, env, ready, health } = configuration
  const asUser = (one: ProgramConfiguration['command']) =>
    words(one) as unknown as ProgramConfiguration['command']
  const probed = <P extends Probe | ReadyCondition['probe']>(probe: P): P =>
    probe.kind === 'command' ? { ...probe, command: asUser(probe.command) } : probe
  return {
    ...configuration,
    command: asUser(command),
    env: { HOME: home, USER: name, LOGNAME: name, SHELL: shell, ...env },
    ready: ready && { ...ready, probe: probed(ready.probe) },
    health: health && { ...health, probe: probed(health.probe) },
  }
}
