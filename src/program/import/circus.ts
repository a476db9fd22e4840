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

/** Keys whose effect every program has here anyway: its session is stopped as a whole, its input and output are its own. */
const alwaysSo = /^(stop_children|close_child_std(in|out|err))$/

const otherKeys: readonly Elsewhere[] = [
  { keys: /^std(out|err)_stream\.(class|filename)$/, why: 'other-way', instead: 'proxy-ctl logs' },
  { keys: /^std(out|err)_stream\./, why: 'other-way', instead: 'output' },
  {
    keys: /^(hooks\..*|rlimit_.*|max_age.*|send_hup|stdin_socket|on_demand|async_kill)$/,
    why: 'no-equivalent',
    instead: null,
  },
  { keys: /^copy_path$/, why: 'other-way', instead: 'env' },
  { keys: /^(check_flapping|max_retry)$/, why: 'other-way', instead: 'restart.flappingRestarts' },
]

/** Keys of circus itself. */
const ownKeys: readonly Elsewhere[] = [
  { keys: /^check_delay$/, why: 'other-way', instead: 'interval' },
  { keys: /^(endpoint|pubsub_endpoint|stats_endpoint|endpoint_owner)$/, why: 'other-way', instead: 'http' },
  { keys: /^(httpd.*|statsd.*)$/, why: 'other-way', instead: 'http' },
  { keys: /^(debug|logoutput|loglevel|loggerconfig)$/, why: 'other-way', instead: 'proxy-log' },
  { keys: /^warmup_delay$/, why: 'other-way', instead: 'dependsOn' },
  {
    keys: /^(pidfile|umask|.*_timeout|multicast_endpoint|ssh_server|proc_name|debug_gc)$/,
    why: 'no-equivalent',
    instead: null,
  },
]

/** circus.ini: `[watcher:x]` sections, with variables in `[env]` and `[env:PATTERN]`. */
export function readCircus(text: string, context: ImportContext): Imported {
  const into = new Collected()
  const { sections, unread } = readIni(text, { inlineComments: ';', caseSensitive: true, twice: 'first' })
  into.unread(unread)
  for (const section of sections) {
    if (section.name.startsWith('watcher:')) readWatcher(into, section, sections, context)
    else readOther(into, section, context.fileName)
  }
  return into.result()
}

/** What is no watcher: circus itself, sockets, plugins. */
function readOther(into: Collected, { name, options }: IniSection, fileName: string): void {
  const value = (key: string) => options.find((option) => option.key === key)?.value
  if (name.startsWith('socket:')) {
    const place = value('path') ?? `${value('host') ?? 'localhost'}:${value('port') ?? '8080'}`
    into.remark({ program: null, where: `[${name}]`, what: place, why: 'other-way', instead: 'socket' })
  } else if (name.startsWith('plugin:')) {
    const instead = value('use')?.includes('flapping') === true ? 'restart.flappingRestarts' : null
    into.remark({
      program: null,
      where: fileName,
      what: `[${name}]`,
      why: instead === null ? 'no-equivalent' : 'other-way',
      instead,
    })
  } else if (name === 'circus') {
    for (const { key, value: what } of options) {
      const isFile = key === 'include' || key === 'include_dir'
      const { why, instead } = isFile
        ? ({ why: 'other-file', instead: null } as const)
        : (elsewhere(key, ownKeys) ?? ({ why: 'unknown', instead: null } as const))
      into.remark({ program: null, where: `[circus] ${key}`, what, why, instead })
    }
  } else if (name !== 'env' && !name.startsWith('env:')) {
    into.remark({ program: null, where: fileName, what: `[${name}]`, why: 'not-a-program', instead: null })
  }
}

function readWatcher(
  into: Collected,
  section: IniSection,
  sections: readonly IniSection[],
  context: ImportContext,
): void {
  const said = section.name.slice('watcher:'.length).trim()
  const name = into.nameFor(said, `[${section.name}]`)
  const at = (key: string) => `[${section.name}] ${key}`
  const own = environmentFor(said, sections)
  const value = (key: string) => section.options.find((option) => option.key === key)?.value
  /** The value with its variables replaced, as far as the file says what they are. */
  const known = (key: string, text: string) =>
    into.filled(name, at(key), text, fill(text, { ...context.env, ...own }))
  const lost = (
    key: string,
    what: string,
    why: 'no-equivalent' | 'other-way' | 'invalid' | 'unknown',
    instead: string | null = null,
  ) => into.remark({ program: name, where: at(key), what, why, instead })

  const cmd = value('cmd')
  if (cmd === undefined || cmd === '') {
    into.remark({ program: name, where: `[${section.name}]`, what: said, why: 'no-command', instead: null })
    return
  }
  const line = [known('cmd', cmd), known('args', value('args') ?? '')].join(' ').replaceAll('\n', ' ').trim()
  const isShell = yesOrNo(value('shell') ?? '') === true
  const words = isShell ? ['sh', '-c', line] : splitWords(line)
  if (words === undefined) {
    lost('cmd', cmd, 'invalid')
    return
  }
  if (isShell) into.remark({ program: name, where: at('shell'), what: line, why: 'shell', instead: null })
  const executable = value('executable')
  const entry: ProgramEntry = {
    name,
    command: executable === undefined ? words : [known('executable', executable), ...words.slice(1)],
  }
  const limits: Record<string, string | number> = {}
  for (const { key, value: text } of section.options) {
    switch (key) {
      case 'cmd':
      case 'args':
      case 'shell':
      case 'executable':
        break
      case 'working_dir':
        entry.cwd = known(key, text)
        break
      case 'uid':
        entry.user = text
        break
      case 'gid':
        entry.group = text
        break
      case 'numprocesses': {
        const count = Number(known(key, text))
        if (Number.isInteger(count) && count > 1) entry.instances = count
        break
      }
      case 'singleton':
        break
      case 'autostart':
        if (yesOrNo(text) === false) entry.autostart = false
        break
      case 'respawn':
        if (yesOrNo(text) === false) entry.oneshot = true
        break
      case 'stop_signal': {
        const signal = signalName(text)
        if (signal === undefined) lost(key, text, 'no-equivalent', 'stop.signal')
        else if (signal !== 'SIGTERM') entry.stop = { ...entry.stop, signal }
        break
      }
      case 'graceful_timeout': {
        const grace = seconds(text)
        if (grace === undefined) lost(key, text, 'invalid', 'stop.grace')
        else entry.stop = { ...entry.stop, grace }
        break
      }
      case 'rlimit_nofile':
        if (/^\d+$/.test(text)) limits.openFiles = Number(text)
        break
      case 'copy_env':
        if (yesOrNo(text) === true) lost(key, text, 'other-way', 'env')
        break
      case 'use_sockets':
        if (yesOrNo(text) === true) lost(key, text, 'other-way', 'socket')
        break
      case 'warmup_delay':
      case 'priority':
        if (text !== '0') lost(key, text, 'other-way', 'dependsOn')
        break
      case 'virtualenv':
        lost(key, text, 'other-way', `${text}/bin/${words[0] ?? ''}`)
        break
      default: {
        const other = elsewhere(key, otherKeys)
        if (other !== undefined) lost(key, text, other.why, other.instead)
        else if (!alwaysSo.test(key)) lost(key, text, 'unknown')
      }
    }
  }
  if (Object.keys(own).length > 0) {
    entry.env = Object.fromEntries(
      Object.entries(own).map(([key, text]) => {
        const where = `env ${key}`
        const expanded = expand(known(where, text), context.env)
        return [key, into.filled(name, at(where), text, expanded)]
      }),
    )
  }
  if (Object.keys(limits).length > 0) entry.limits = limits
  if (value('graceful_timeout') === undefined) {
    entry.stop = { ...entry.stop, grace: usualGrace }
    into.remark({
      program: name,
      where: at('graceful_timeout'),
      what: '30',
      why: 'given',
      instead: usualGrace,
    })
  }
  into.add(entry)
}

/** What circus waits between its signal and SIGKILL where the file does not say it. */
const usualGrace = '30s'

/** Replaces `$NAME` in the value of a variable, which circus takes from its own environment. */
function expand(text: string, env: Readonly<Record<string, string>>): Filled {
  const unknown: string[] = []
  const filled = text.replaceAll(/\$([A-Z][A-Z0-9_]*)/g, (_whole, name: string) => {
    const value = env[name]
    if (value !== undefined) return value
    unknown.push(name)
    return unresolved(name)
  })
  return { text: filled, unknown }
}

/** The variables that the file gives a watcher: `[env]` for all, `[env:a,b*]` for those whose name matches. */
function environmentFor(watcher: string, sections: readonly IniSection[]): Record<string, string> {
  const matching = sections.filter(
    ({ name }) =>
      name.startsWith('env:') &&
      name
        .slice(4)
        .split(',')
        .some((pattern) => isMatch(watcher, pattern.trim())),
  )
  const all = [...sections.filter(({ name }) => name === 'env'), ...matching]
  const env: Record<string, string> = {}
  for (const { options } of all) {
    for (const { key, value } of options) env[key] = value.replace(/^""$/, '')
  }
  return env
}

/** As Python's fnmatch. */
function isMatch(name: string, pattern: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
    .replaceAll('[!', '[^')
  try {
    return new RegExp(`^${source}$`).test(name)
  } catch {
    return name === pattern
  }
}

/** Replaces `$(circus.env.NAME)` and `((circus.env.NAME))`, whose names have no case. */
function fill(text: string, env: Readonly<Record<string, string>>): Filled {
  const values = new Map(Object.entries(env).map(([key, value]) => [key.toLowerCase(), value]))
  const unknown: string[] = []
  const pattern = /\$\(([\w.\- ]+)\)|\(\(([\w.\- ]+)\)\)/g
  const filled = text.replaceAll(pattern, (_whole, first: string | undefined, second: string | undefined) => {
    const said = (first ?? second ?? '').replace(/^circus\./i, '')
    const variable = /^env\.(.+)$/i.exec(said)?.[1]
    const value = variable === undefined ? undefined : values.get(variable.toLowerCase())
    if (value !== undefined && !/\$\(|\(\(/.test(value)) return value
    const name = variable ?? said.replaceAll(/[^A-Za-z0-9_]/g, '_')
    unknown.push(name)
    return unresolved(name)
  })
  return { text: filled, unknown }
}
