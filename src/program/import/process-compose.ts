import { shellCommand } from './commands.ts'
import {
  Collected,
  type Elsewhere,
  elsewhere,
  type Filled,
  type Imported,
  type ProbeEntry,
  type ProgramEntry,
  type RemarkReason,
  seconds,
  signalName,
  unresolved,
} from './imported.ts'
import { isRecord, read, shown } from './records.ts'
import { withoutShell } from './shell-words.ts'

/** Keys whose effect every program has here anyway, that are read elsewhere, or that are about the terminal of process-compose. */
const alwaysSo =
  /^(name|description|disable_ansi_colors|truncate_log|is_foreground|original_config|replica_.*|is_dotenv_disabled|is_template_disabled|executable|args)$/

const otherKeys: readonly Elsewhere[] = [
  { keys: /^log_location$/, why: 'other-way', instead: 'proxy-ctl logs' },
  { keys: /^log_configuration$/, why: 'other-way', instead: 'output' },
  { keys: /^launch_timeout_seconds$/, why: 'other-way', instead: 'ready' },
  { keys: /^namespace$/, why: 'no-equivalent', instead: null },
  { keys: /^watch$/, why: 'other-way', instead: 'watch' },
]

/** Keys of the whole file that are read, or that are about process-compose itself. */
const ownKeys =
  /^(version|name|is_strict|is_tui_disabled|ordered_shutdown|disable_env_expansion|processes|environment|shell|vars|x-.*)$/

/** What is read of the parts of a process. */
const knownIn: Readonly<Record<string, RegExp>> = {
  availability: /^(restart|backoff_seconds|max_restarts|exit_on_end|exit_on_skipped)$/,
  shutdown: /^(signal|timeout_seconds|command|parent_only|send_keys)$/,
  readiness_probe: /^(exec|http_get|period_seconds|failure_threshold)$/,
  liveness_probe: /^(exec|http_get|period_seconds|failure_threshold)$/,
}

interface Project {
  readonly env: Readonly<Record<string, string>>
  readonly vars: Readonly<Record<string, unknown>>
  readonly shell: string
  readonly isExpanding: boolean
}

/** process-compose.yaml: `processes: {name: {command, depends_on, readiness_probe, …}}`, commands run by bash. */
export function readProcessCompose(content: unknown): Imported {
  const into = new Collected()
  const file = read.record(content)
  const project: Project = {
    env: read.variables(file.environment),
    vars: read.record(file.vars),
    shell: read.text(read.record(file.shell).shell_command) ?? 'bash',
    isExpanding: file.disable_env_expansion !== true,
  }
  for (const [key, value] of Object.entries(file)) {
    if (key === 'extends')
      into.remark({ program: null, where: key, what: String(value), why: 'other-file', instead: null })
    else if (/^log_/.test(key))
      into.remark({ program: null, where: key, what: shown(value), why: 'other-way', instead: 'output' })
    else if (!ownKeys.test(key))
      into.remark({ program: null, where: key, what: shown(value), why: 'no-equivalent', instead: null })
  }
  const processes = Object.entries(read.record(file.processes))
  const completes = new Set(
    processes.flatMap(([, one]) =>
      Object.entries(read.record(read.record(one).depends_on)).flatMap(([other, how]) =>
        String(read.record(how).condition).startsWith('process_completed') ? [other] : [],
      ),
    ),
  )
  for (const [said, one] of processes) {
    const where = `processes.${said}`
    if (isRecord(one))
      readProcess(into, project, { said, where, process: one, isAwaited: completes.has(said) })
    else into.remark({ program: null, where, what: said, why: 'no-command', instead: null })
  }
  return into.result()
}

interface Process {
  readonly said: string
  readonly where: string
  readonly process: Readonly<Record<string, unknown>>
  /** Another process waits until it has completed. */
  readonly isAwaited: boolean
}

function readProcess(into: Collected, project: Project, { said, where, process, isAwaited }: Process): void {
  const name = into.nameFor(said, where)
  const lost = (key: string, what: unknown, why: RemarkReason, instead: string | null = null) =>
    into.remark({ program: name, where: `${where}.${key}`, what: shown(what), why, instead })
  const filled = (key: string, text: string) =>
    into.filled(name, `${where}.${key}`, text, fill(text, project))
  const own = Object.entries(read.variables(process.environment)).map(([key, text]) => [
    key,
    filled(`environment.${key}`, text),
  ])
  const env: Record<string, string> = { ...project.env, ...Object.fromEntries(own) }
  const command = commandOf(into, project, { name, where, process, env })
  if (command === undefined) {
    const isExtended = process.extends !== undefined
    lost(
      isExtended ? 'extends' : 'command',
      process.extends ?? said,
      isExtended ? 'no-equivalent' : 'no-command',
    )
    return
  }
  const entry: ProgramEntry = { name, ...command }
  if (isAwaited) entry.oneshot = true
  for (const [key, value] of Object.entries(process)) {
    switch (key) {
      case 'command':
      case 'entrypoint':
      case 'environment':
        break
      case 'working_dir':
        entry.cwd = filled(key, String(value))
        break
      case 'env_file':
        entry.envFile = filled(key, String(value))
        break
      case 'replicas':
        if (Number(value) > 1) entry.instances = Number(value)
        break
      case 'disabled':
        if (value === true) entry.autostart = false
        break
      case 'is_tty':
      case 'is_interactive':
        if (value === true) entry.pty = true
        break
      case 'depends_on':
        entry.dependsOn = Object.keys(read.record(value)).map((other) =>
          into.nameFor(other, `${where}.depends_on`),
        )
        break
      case 'ready_log_line':
        entry.ready = { log: escaped(String(value)) }
        break
      case 'readiness_probe':
        entry.ready = probe(read.record(value), (text) => filled(key, text)) ?? entry.ready ?? {}
        break
      case 'liveness_probe': {
        const health = probe(read.record(value), (text) => filled(key, text))
        if (health !== undefined) entry.health = health
        break
      }
      case 'availability':
        break
      case 'shutdown':
        shutdown(entry, read.record(value), lost)
        break
      case 'mcp':
        lost(key, 'mcp', 'other-way', 'actions')
        break
      case 'schedule':
      case 'is_daemon':
      case 'is_elevated':
      case 'is_disabled':
      case 'extends':
      case 'success_exit_codes':
      case 'monitor_for':
      case 'monitor_silence_threshold':
      case 'vars':
        if (value !== false) lost(key, value, 'no-equivalent')
        break
      default: {
        const other = elsewhere(key, otherKeys)
        if (other !== undefined) lost(key, value, other.why, other.instead)
        else if (!alwaysSo.test(key) && !key.startsWith('x-')) lost(key, value, 'unknown')
      }
    }
    // What has a place of its own here has other keys, too.
    for (const [part, one] of Object.entries(read.record(value))) {
      if (knownIn[key]?.test(part) === false) lost(`${key}.${part}`, one, 'no-equivalent')
    }
  }
  availability(entry, read.record(process.availability), lost)
  if (entry.ready !== undefined && Object.keys(entry.ready).length === 0) delete entry.ready
  into.add(entry)
}

interface Commanded {
  readonly name: string
  readonly where: string
  readonly process: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string>>
}

function commandOf(
  into: Collected,
  project: Project,
  { name, where, process, env }: Commanded,
): Pick<ProgramEntry, 'command' | 'env'> | undefined {
  const { entrypoint } = process
  if (Array.isArray(entrypoint) && entrypoint.length > 0) {
    return { command: entrypoint.map(String), ...(Object.keys(env).length === 0 ? {} : { env }) }
  }
  const text = read.text(process.command)
  if (text === undefined || text.trim() === '') return undefined
  if (/\{\{.*\}\}/.test(text) && process.is_template_disabled !== true) {
    into.remark({ program: name, where: `${where}.command`, what: text, why: 'variable', instead: null })
  }
  // `$$` is how a `$` is written that process-compose does not replace itself.
  const line = project.isExpanding ? text.replaceAll('$$', '$') : text
  return shellCommand(into, {
    program: name,
    where: `${where}.command`,
    text: line,
    env,
    shell: project.shell,
  })
}

type Lost = (key: string, what: unknown, why: RemarkReason, instead?: string | null) => void

function availability(entry: ProgramEntry, said: Readonly<Record<string, unknown>>, lost: Lost): void {
  const restart = read.text(said.restart)
  // A program is started again after every end, and one that runs once after every failure.
  if (restart === undefined && entry.oneshot !== true)
    lost('availability.restart', 'no, which is the default', 'other-way', 'oneshot')
  else if (restart !== undefined && restart !== 'always')
    lost('availability.restart', restart, 'other-way', 'oneshot')
  const backoff = seconds(said.backoff_seconds)
  if (backoff !== undefined) entry.restart = { backoff }
  if (said.max_restarts !== undefined)
    lost('availability.max_restarts', said.max_restarts, 'other-way', 'restart.flappingRestarts')
  for (const key of ['exit_on_end', 'exit_on_skipped']) {
    if (said[key] === true) lost(`availability.${key}`, true, 'no-equivalent')
  }
}

function shutdown(entry: ProgramEntry, said: Readonly<Record<string, unknown>>, lost: Lost): void {
  const signal = said.signal === undefined ? undefined : signalName(said.signal)
  if (said.signal !== undefined && signal === undefined)
    lost('shutdown.signal', said.signal, 'no-equivalent', 'stop.signal')
  const grace = seconds(said.timeout_seconds)
  const stop = { ...(signal === undefined ? {} : { signal }), ...(grace === undefined ? {} : { grace }) }
  if (Object.keys(stop).length > 0) entry.stop = stop
  if (said.command !== undefined) lost('shutdown.command', said.command, 'no-equivalent', 'stop.signal')
  if (said.parent_only === true) lost('shutdown.parent_only', true, 'no-equivalent')
  if (said.send_keys !== undefined) lost('shutdown.send_keys', said.send_keys, 'no-equivalent', 'stop.signal')
}

/** A probe as Kubernetes and process-compose write it; undefined when it asks nothing. */
function probe(
  said: Readonly<Record<string, unknown>>,
  filled: (text: string) => string,
): ProbeEntry | undefined {
  const timing = {
    ...(said.period_seconds === undefined ? {} : { interval: `${read.number(said.period_seconds) ?? 10}s` }),
    ...(said.failure_threshold === undefined
      ? {}
      : { failureThreshold: read.number(said.failure_threshold) ?? 3 }),
  }
  const { exec, http_get: http } = said
  if (isRecord(exec)) {
    const text = filled(read.text(exec.command) ?? '')
    if (text === '') return undefined
    const plain = withoutShell(text)
    const isPlain = plain !== undefined && Object.keys(plain.env).length === 0
    return { command: isPlain ? plain.words : ['sh', '-c', text], ...timing }
  }
  if (!isRecord(http)) return undefined
  const port = read.number(http.port) ?? read.number(http.num_port)
  const place = port === undefined ? '' : `:${port}`
  const part = (key: string, otherwise: string) => filled(read.text(http[key]) ?? otherwise)
  return {
    http: `${part('scheme', 'http').toLowerCase()}://${part('host', '127.0.0.1')}${place}${part('path', '/')}`,
    ...timing,
  }
}

/** Replaces `${NAME}` and `$NAME` by what the file says; what it does not say is known only to process-compose. */
function fill(text: string, { env, isExpanding }: Project): Filled {
  if (!isExpanding) return { text, unknown: [] }
  const unknown: string[] = []
  const replaced = text.replaceAll(
    /\$(?:\$|\{([A-Za-z_]\w*)(?::?-([^}]*))?\}|([A-Za-z_]\w*))/g,
    (whole, braced, otherwise, bare) => {
      const name: string | undefined = braced ?? bare
      if (whole === '$$' || name === undefined) return '$'
      const value = env[name] ?? (otherwise as string | undefined)
      if (value !== undefined) return value
      unknown.push(name)
      return unresolved(name)
    },
  )
  return { text: replaced, unknown }
}

/** A text as a pattern that matches nothing else. */
function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
