import type { Remark, RemarkReason } from './imported.ts'

const reasons: Readonly<Record<RemarkReason, string>> = {
  'no-equivalent': 'port-watchdog has nothing like it',
  unknown: 'this key is unknown',
  'other-way': 'port-watchdog does this in another way',
  variable: 'a variable that the file does not set',
  unset: 'nothing sets this variable',
  code: 'this is a function, not a value',
  'other-file': 'import these files one by one',
  'not-a-program': 'this is not a program',
  'no-command': 'there is no command',
  invalid: 'this cannot be understood',
  shell: 'the command needs a shell',
  renamed: 'this is no name for port-watchdog',
  given: 'the other tool gave this value by itself',
}

/** What stands before `instead`. */
const cures: Partial<Readonly<Record<RemarkReason, string>>> = {
  variable: 'replace',
  unset: 'set',
  renamed: 'now',
  given: 'now',
}

/** Of a long value so much is shown. */
const shownLength = 80

/** A remark in one line. */
export function remarkText({ where, what, why, instead }: Remark): string {
  const line = what.replaceAll(/\s+/g, ' ')
  const short = line.length > shownLength ? `${line.slice(0, shownLength - 1)}…` : line
  const cure = instead === null ? '' : `; ${cures[why] ?? 'see'} ${instead}`
  return `${where}: ${short === '' ? '' : `${short}: `}${reasons[why]}${cure}`
}
