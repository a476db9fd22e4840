import { constants } from 'node:os'
import { type StopSignal, stopSignals } from '../../config/program-configuration.ts'

/** A probe of readiness or health, as a configuration file writes it. */
export interface ProbeEntry {
  readonly port?: number
  readonly http?: string
  readonly log?: string
  readonly command?: readonly string[]
  readonly interval?: string
  readonly failureThreshold?: number
}

/** An entry of `programs:` as it stands in a configuration file: times and sizes as text; only name and command are required. */
export interface ProgramEntry {
  name: string
  command: readonly string[]
  cwd?: string
  env?: Readonly<Record<string, string>>
  envFile?: string
  user?: string
  group?: string
  ready?: ProbeEntry
  readyWithin?: string
  health?: ProbeEntry
  dependsOn?: readonly string[]
  oneshot?: true
  restart?: Readonly<Record<string, string | number>>
  stop?: { readonly signal?: string; readonly grace?: string }
  limits?: Readonly<Record<string, string | number>>
  autostart?: false
  pty?: true
  instances?: number
  watch?: readonly string[]
}

/**
 * Why something of a file is not carried over, or not as it stood:
 * - `no-equivalent`: port-watchdog has nothing like it.
 * - `unknown`: the format has no such key.
 * - `other-way`: port-watchdog does it in another way, which `instead` names.
 * - `variable`: the value needs a variable that the file does not set. The entry holds `${NAME}`, which a person replaces.
 * - `unset`: the shell text reads a variable that neither the file nor the monitor sets.
 * - `code`: it is a function, not a value.
 * - `other-file`: it names files that are imported one by one.
 * - `not-a-program`: the section describes no program.
 * - `no-command`: the program has none.
 * - `invalid`: it cannot be understood.
 * - `shell`: carried over; the command needs a shell.
 * - `renamed`: carried over under another name.
 * - `given`: carried over; the other tool gave the value by itself, and the entry now says it.
 */
export type RemarkReason =
  | 'no-equivalent'
  | 'unknown'
  | 'other-way'
  | 'variable'
  | 'unset'
  | 'code'
  | 'other-file'
  | 'not-a-program'
  | 'no-command'
  | 'invalid'
  | 'shell'
  | 'renamed'
  | 'given'

export interface Remark {
  /** The program it is about; null = the whole file. */
  readonly program: string | null
  /** Where it stands in the file: `[program:web] umask`, `apps[0].watch`, `line 3`. */
  readonly where: string
  /** What stands there. */
  readonly what: string
  readonly why: RemarkReason
  /** The key, command or value to use instead; null = none. */
  readonly instead: string | null
}

/** What came of a file. */
export interface Imported {
  readonly programs: readonly ProgramEntry[]
  /** What the entries lack. */
  readonly notCarriedOver: readonly Remark[]
  /** What the entries have in another form. */
  readonly adapted: readonly Remark[]
}

/** What an importer may know besides the text. */
export interface ImportContext {
  /** The file's name without its folder. */
  readonly fileName: string
  /** Its folder, absolute. */
  readonly folder: string
  /** Whether there is a file of this path, seen from the folder of the imported one. */
  readonly hasFile: (file: string) => boolean
  /** Variables of the environment that may be written into a configuration: HOME and the like, no secrets. */
  readonly env: Readonly<Record<string, string>>
}

/** A text after its variables were replaced. */
export interface Filled {
  readonly text: string
  /** Variables whose value nobody knows; {@link unresolved} stands in their place. */
  readonly unknown: readonly string[]
}

/** What stands for a variable whose value nobody knows: no configuration accepts it before a person has replaced it. */
export function unresolved(name: string): string {
  return `\${${name}}`
}

const adaptations: ReadonlySet<RemarkReason> = new Set(['shell', 'renamed', 'given'])

/** Collects entries and remarks while a file is read. */
export class Collected {
  readonly #programs: ProgramEntry[] = []
  readonly #remarks: Remark[] = []
  readonly #names = new Map<string, string>()

  /**
   * The name under which a program of the file is kept: letters, digits, ".", "_" and "-", at most 63, each once.
   * @param said its name in the file.
   */
  nameFor(said: string, where: string): string {
    const known = this.#names.get(said)
    if (known !== undefined) return known
    const plain = said
      .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '')
      .replace(/-+$/, '')
    const taken = new Set(this.#names.values())
    const base = (/^\d+$/.test(plain) || plain === '' ? `program-${plain}` : plain)
      .slice(0, 60)
      .replace(/-$/, '')
    let name = base
    for (let next = 2; taken.has(name); next++) name = `${base}-${next}`
    this.#names.set(said, name)
    if (name !== said) this.remark({ program: name, where, what: said, why: 'renamed', instead: name })
    return name
  }

  add(entry: ProgramEntry): void {
    this.#programs.push(entry)
  }

  remark(remark: Remark): void {
    this.#remarks.push(remark)
  }

  /** Lines of the file that mean nothing. */
  unread(lines: readonly { readonly line: number; readonly text: string }[]): void {
    for (const { line, text } of lines)
      this.remark({ program: null, where: `line ${line}`, what: text, why: 'invalid', instead: null })
  }

  /** A text whose variables were replaced, with a remark for each of which nobody knew the value. @param said the text before. */
  filled(program: string, where: string, said: string, { text, unknown }: Filled): string {
    for (const name of unknown) {
      this.remark({ program, where, what: said, why: 'variable', instead: unresolved(name) })
    }
    return text
  }

  /** Everything that was collected. */
  result(): Imported {
    return {
      programs: this.#programs,
      notCarriedOver: this.#remarks.filter(({ why }) => !adaptations.has(why)),
      adapted: this.#remarks.filter(({ why }) => adaptations.has(why)),
    }
  }
}

/** A key that is not carried over, and what does the same here; null = nothing does. */
export interface Elsewhere {
  readonly keys: RegExp
  readonly why: 'no-equivalent' | 'other-way'
  readonly instead: string | null
}

/** What a table says of a key; undefined = it does not know it. */
export function elsewhere(key: string, table: readonly Elsewhere[]): Elsewhere | undefined {
  return table.find(({ keys }) => keys.test(key))
}

/** Seconds as a duration of our configuration: `10s`, `1500ms`; undefined for what is no number. */
export function seconds(value: unknown): string | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) && number >= 0
    ? milliseconds(number * 1000)
    : undefined
}

/** ms as a duration of our configuration. */
export function milliseconds(ms: number): string {
  const whole = Math.round(ms)
  return whole % 1000 === 0 ? `${whole / 1000}s` : `${whole}ms`
}

/** `TERM`, `SIGTERM` or `15` as `SIGTERM`; undefined for one by which no program can be asked to end. */
export function signalName(value: unknown): StopSignal | undefined {
  const name = `SIG${String(value).toUpperCase().replace(/^SIG/, '')}`
  return stopSignals.find((signal) => signal === name || constants.signals[signal] === Number(value))
}

/** Whether a text of an ini file means yes, as Python's configparser reads it; undefined when it means neither. */
export function yesOrNo(text: string): boolean | undefined {
  const word = text.trim().toLowerCase()
  if (['1', 'yes', 'true', 'on', 'y', 't'].includes(word)) return true
  return ['0', 'no', 'false', 'off', 'n', 'f'].includes(word) ? false : undefined
}
