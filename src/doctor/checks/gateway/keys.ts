import { statSync } from 'node:fs'
import path from 'node:path'
import { errorText } from '../../../os/failure.ts'
import { type ApiKey, ApiKeys } from '../../../record/api-keys.ts'
import { fileNames } from '../../../record/state-directory.ts'
import { ownPrograms, shellWord } from '../../../report/own-programs.ts'
import { type Check, type Finding, failed, note, ok } from '../../check.ts'

/** ms before its end in which a key is named. */
const soonMs = 7 * 24 * 3_600_000

const days = 24 * 3_600_000

/** Judges the keys of clients. @param now wall ms. */
export function judgeKeys(keys: readonly ApiKey[], now: number): Finding[] {
  const ending = keys.flatMap(({ name, expiresAt }) => {
    const leftMs = expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt) - now
    if (leftMs > soonMs) return []
    const cure = `${ownPrograms().gateway} key rotate ${shellWord(name)}`
    const what = leftMs <= 0 ? 'has expired' : `expires in ${Math.ceil(leftMs / days)} days`
    return [
      note(leftMs <= 0 ? 'gateway-key-expired' : 'gateway-key-expires', `the key ${name} ${what}`, cure),
    ]
  })
  if (keys.length === 0) return []
  return ending.length > 0 ? ending : [ok('gateway-keys', `${keys.length} of ${keys.length} keys are good`)]
}

export const gatewayKeys: Check = {
  name: 'gateway-keys',
  run: ({ gateway, stateDirectory }) => {
    if (gateway === undefined) return []
    const open = [fileNames.gatewayKeys, fileNames.gatewayFirstKey].flatMap((name) => {
      const file = path.join(stateDirectory, name)
      const facts = statSync(file, { throwIfNoEntry: false })
      if (facts === undefined || (facts.mode & 0o077) === 0) return []
      return [
        failed(
          'gateway-key-open',
          `other users can read ${file}`,
          `chmod 600 ${shellWord(file)}, then rotate the keys`,
        ),
      ]
    })
    try {
      return [...open, ...judgeKeys(new ApiKeys(stateDirectory, fileNames.gatewayKeys).list(), Date.now())]
    } catch (error) {
      return [...open, failed('gateway-keys-unreadable', errorText(error))]
    }
  },
}
