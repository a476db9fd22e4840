import {
  Collected,
  type Elsewhere,
  elsewhere,
  type Filled,
  type ImportContext,
  type Imported,
  type ProgramEntry,
  seconds,
  signalName,
  unresolved,
  yesOrNo,
} from './imported.ts'
import { type IniSection, readIni } from './ini.ts'
import { splitWords } from './shell-words.ts'

/** Keys whose effect every program has here anyway: its session is stopped as a whole, what it prints on both streams is in one log. */
const alwaysSo = /^(stopasgroup|killasgroup|redirect_stderr|process_name|numprocs_start)$/

const otherKeys: readonly Elsewhere[] = [
  { keys: /^std(out|err)_logfile$/, why: 'other-way', instead: 'proxy-ctl logs' },
  { keys: /^std(out|err)_logfile_(maxbytes|backups)$/, why: 'other-way', instead: 'output.maxBytes' },
  { keys: /^priority$/, why: 'other-way', instead: 'dependsOn' },
  { keys: /^startretries$/, why: 'other-way', instead: 'restart.flappingRestarts' },
  { keys: /^(umask|serverurl)$/, why: 'no-equivalent', instead: null },
]

/** Keys of supervisord itself. */
const ownKeys: readonly Elsewhere[] = [
  { keys: /^minfds$/, why: 'other-way', instead: 'limits.openFiles' },
  { keys: /^(logfile(_maxbytes|_backups)?|childlogdir|loglevel)$/, why: 'other-way', instead: 'proxy-log' },
  { keys: /^(pidfile|nodaemon|identifier)$/, why: 'other-way', instead: '--state-dir' },
  { keys: /^(user|directory)$/, why: 'other-way', instead: 'user and cwd of each program' },
  {
    keys: /^(umask|minprocs|nocleanup|strip_ansi|silent|environment_file)$/,
    why: 'no-equivalent',
    instead: null,
  },
]

/** Sections about supervisord itself, whose programs ask it. */
const ownSections = /^(supervisorctl|unix_http_server|inet_http_server|rpcinterface:.*)$/

/** supervisord.conf: `[program:x]` sections, whose commands are split as Python's shlex does and need no shell. */
export function readSupervisord(text: string, context: ImportContext): Imported {
  const into = new Collected()
  const { sections, unread } = readIni(text, { inlineComments: ';#', caseSensitive: false, twice: 'last' })
  into.unread(unread)
  const shared = sections
    .find(({ name }) => name === 'supervisord')
    ?.options.find(({ key }) => key === 'environment')
  const sharedEnv = shared === undefined ? {} : environmentOf(shared.value)
  for (const section of sections) {
    if (section.name.startsWith('program:')) readProgram(into, section, sharedEnv, context)
    else if (section.name === 'include') {
      const files = section.options.find(({ key }) => key === 'files')?.value ?? ''
      into.remark({ program: null, where: '[include] files', what: files, why: 'other-file', instead: null })
    } else if (section.name === 'supervisord') {
      for (const { key, value } of section.options) {
        if (key === 'environment') continue
        const { why, instead } = elsewhere(key, ownKeys) ?? { why: 'unknown', instead: null }
        into.remark({ program: null, where: `[supervisord] ${key}`, what: value, why, instead })
      }
    } else if (ownSections.test(section.name)) {
      const instead = section.name === 'inet_http_server' ? 'http' : 'proxy-ctl'
      into.remark({
        program: null,
        where: context.fileName,
        what: `[${section.name}]`,
        why: 'other-way',
        instead,
      })
    } else {
      const instead = section.name.startsWith('eventlistener:') ? 'proxy-ctl events --json' : null
      into.remark({
        program: null,
        where: context.fileName,
        what: `[${section.name}]`,
        why: 'not-a-program',
        instead,
      })
    }
  }
  return into.result()
}

function readProgram(
  into: Collected,
  section: IniSection,
  sharedEnv: Readonly<Record<string, string>>,
  context: ImportContext,
): void {
  const said = section.name.slice('program:'.length).trim()
  const name = into.nameFor(said, `[${section.name}]`)
  const entry: ProgramEntry = { name, command: [] }
  const at = (key: string) => `[${section.name}] ${key}`
  const filled = (key: string, text: string) => into.filled(name, at(key), text, fill(text, said, context))
  const values = new Map(
    section.options.map(({ key, value }) => {
      // The environment is filled value by value; what else is kept as it is needs no filling.
      const isFilled = ['command', 'directory', 'user', 'numprocs'].includes(key)
      return [key, isFilled ? filled(key, value) : value]
    }),
  )
  const lost = (
    key: string,
    why: 'no-equivalent' | 'unknown' | 'other-way' | 'invalid',
    instead: string | null = null,
  ) => into.remark({ program: name, where: at(key), what: values.get(key) ?? '', why, instead })
  const env: Record<string, string> = { ...sharedEnv }
  for (const [key, value] of values) {
    switch (key) {
      case 'command': {
        const words = splitWords(value)
        if (words === undefined) lost(key, 'invalid')
        else entry.command = words
        break
      }
      case 'directory':
        entry.cwd = value
        break
      case 'user':
        entry.user = value
        break
      case 'environment':
        for (const [variable, raw] of Object.entries(environmentOf(value))) {
          env[variable] = filled(`environment ${variable}`, raw)
        }
        break
      case 'numprocs': {
        const count = Number(value)
        if (Number.isInteger(count) && count > 1) entry.instances = count
        break
      }
      case 'autostart':
        if (yesOrNo(value) === false) entry.autostart = false
        break
      case 'stopsignal': {
        const signal = signalName(value)
        if (signal === undefined) lost(key, 'no-equivalent', 'stop.signal')
        else if (signal !== 'SIGTERM') entry.stop = { ...entry.stop, signal }
        break
      }
      case 'stopwaitsecs': {
        const grace = seconds(value)
        if (grace === undefined) lost(key, 'invalid', 'stop.grace')
        else if (grace !== '10s') entry.stop = { ...entry.stop, grace }
        break
      }
      case 'autorestart':
        if (yesOrNo(value) === false) entry.oneshot = true
        else if (yesOrNo(value) === undefined) lost(key, 'other-way', 'oneshot')
        break
      case 'exitcodes':
        if (value.trim() !== '0') lost(key, 'other-way', 'oneshot')
        break
      case 'startsecs':
        // What has run for a second has started here, too.
        if (seconds(value) !== '1s') lost(key, 'other-way', 'ready')
        break
      default: {
        const other = elsewhere(key, otherKeys)
        if (other !== undefined) lost(key, other.why, other.instead)
        else if (/^std(out|err)_(syslog|events_enabled|capture_maxbytes)$/.test(key)) {
          if (yesOrNo(value) !== false) lost(key, 'no-equivalent')
        } else if (!alwaysSo.test(key)) lost(key, 'unknown')
      }
    }
  }
  if (!values.has('autorestart')) {
    const what = 'unexpected, which is the default: an end with 0 is left alone'
    into.remark({ program: name, where: at('autorestart'), what, why: 'other-way', instead: 'oneshot' })
  }
  if (Object.keys(env).length > 0) entry.env = env
  if (entry.command.length > 0) into.add(entry)
  else if (!values.has('command'))
    into.remark({ program: name, where: `[${section.name}]`, what: said, why: 'no-command', instead: null })
}

/** `KEY="value",OTHER=value`. */
function environmentOf(text: string): Record<string, string> {
  const pairs = text.matchAll(/([^\s,="']+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^,\n]*))/g)
  return Object.fromEntries(
    [...pairs].map(([, key = '', double, single, bare]) => [
      key,
      double?.replaceAll(/\\(["\\])/g, '$1') ?? single ?? bare?.trim() ?? '',
    ]),
  )
}

/** Replaces `%(name)s`. */
function fill(text: string, program: string, { folder, env }: ImportContext): Filled {
  const values: Readonly<Record<string, string>> = {
    here: folder,
    program_name: program,
    group_name: program,
  }
  const unknown: string[] = []
  const filled = text.replaceAll(/%(?:%|\(([^)]+)\)[0-9]*[sd])/g, (_whole, name: string | undefined) => {
    if (name === undefined) return '%'
    const variable = name.replace(/^ENV_/, '')
    const value = variable === name ? values[name] : env[variable]
    if (value !== undefined) return value
    unknown.push(variable)
    return unresolved(variable)
  })
  return { text: filled, unknown }
}
