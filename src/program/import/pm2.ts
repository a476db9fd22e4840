import path from 'node:path'
import { shellCommand } from './commands.ts'
import {
  Collected,
  type Elsewhere,
  elsewhere,
  type ImportContext,
  type Imported,
  milliseconds,
  type ProgramEntry,
  type RemarkReason,
} from './imported.ts'
import { isRecord, read, shown } from './records.ts'
import { splitWords } from './shell-words.ts'

/** What pm2 runs a script with, by its ending. */
const interpreters: Readonly<Record<string, string>> = {
  '.js': 'node',
  '.cjs': 'node',
  '.mjs': 'node',
  '.py': 'python3',
  '.rb': 'ruby',
  '.php': 'php',
  '.pl': 'perl',
  '.sh': 'bash',
  '.ts': 'bun',
  '.tsx': 'bun',
}

/** What stands in place of a function when a configuration in JavaScript has been run. */
export const functionMark = '[function]'

/** Keys whose effect every program has here anyway, that are read elsewhere, or that are about pm2's own reports. */
const alwaysSo =
  /^(merge_logs|combine_logs|vizion|vizion_depth|treekill|pmx|automation|trace|disable_trace|exec_mode|force|autorestart|append_env_to_name)$/

const otherKeys: readonly Elsewhere[] = [
  {
    keys: /^(out_file|out|output|out_log|error_file|error|err|err_file|err_log|log_file|log)$/,
    why: 'other-way',
    instead: 'proxy-ctl logs',
  },
  { keys: /^(time|log_date_format|log_type|disable_logs)$/, why: 'other-way', instead: 'proxy-ctl logs' },
  { keys: /^(pid_file|pid)$/, why: 'other-way', instead: 'proxy-ctl list --json' },
  { keys: /^(listen_timeout|wait_ready)$/, why: 'other-way', instead: 'ready' },
  { keys: /^(min_uptime|max_restarts)$/, why: 'other-way', instead: 'restart.flappingRestarts' },
  { keys: /^(ignore_watch|watch_delay|watch_options)$/, why: 'other-way', instead: 'watch' },
  { keys: /^(filter_env|env_.*)$/, why: 'other-way', instead: 'env' },
  { keys: /^(increment_var|instance_var)$/, why: 'other-way', instead: 'instances' },
  {
    keys: /^(namespace|source_map_support|disable_source_map_support|cron_restart|post_update|stop_exit_codes|name_prefix|install_url|install_path)$/,
    why: 'no-equivalent',
    instead: null,
  },
]

/** Older spellings of keys. */
const aliases: Readonly<Record<string, string>> = {
  exec: 'script',
  exec_interpreter: 'interpreter',
  interpreterArgs: 'interpreter_args',
  node_args: 'interpreter_args',
  nodeArgs: 'interpreter_args',
  cron: 'cron_restart',
  maxMemoryRestart: 'max_memory_restart',
}

/** An ecosystem file of pm2, JSON, YAML, or what JavaScript has exported: `apps: [{script, name, …}]`. */
export function readPm2(content: unknown, { hasFile }: ImportContext): Imported {
  const into = new Collected()
  const apps = isRecord(content) && 'apps' in content ? content.apps : content
  for (const [index, app] of (Array.isArray(apps) ? apps : [apps]).entries()) {
    if (isRecord(app)) readApp(into, app, `apps[${index}]`, hasFile)
    else
      into.remark({
        program: null,
        where: `apps[${index}]`,
        what: String(app),
        why: 'invalid',
        instead: null,
      })
  }
  for (const [key, value] of isRecord(content) && 'apps' in content ? Object.entries(content) : []) {
    const why = key === 'deploy' ? 'not-a-program' : 'unknown'
    if (key !== 'apps') into.remark({ program: null, where: key, what: shown(value), why, instead: null })
  }
  return into.result()
}

function readApp(
  into: Collected,
  said: Readonly<Record<string, unknown>>,
  place: string,
  hasFile: ImportContext['hasFile'],
): void {
  const app = Object.fromEntries(Object.entries(said).map(([key, value]) => [aliases[key] ?? key, value]))
  const script = read.text(app.script)
  const named =
    read.text(app.name) ?? (script === undefined ? 'app' : path.parse(script.split(' ')[0] ?? '').name)
  const name = into.nameFor(named, `${place}.name`)
  const lost = (key: string, why: RemarkReason, instead: string | null = null) =>
    into.remark({ program: name, where: `${place}.${key}`, what: shown(app[key]), why, instead })
  if (script === undefined || script === '') {
    into.remark({
      program: name,
      where: place,
      what: named,
      why: app.script === functionMark ? 'code' : 'no-command',
      instead: null,
    })
    return
  }
  const cwd = read.text(app.cwd)
  const env = read.variables(app.env)
  // pm2 asks with SIGINT and kills after 1.6 s.
  const entry: ProgramEntry = {
    name,
    ...commandOf(into, app, { name, place, script, cwd, env, hasFile }),
    stop: { signal: 'SIGINT' },
  }
  if (cwd !== undefined) entry.cwd = cwd
  const limits: Record<string, string | number> = {}
  for (const [key, value] of Object.entries(app)) {
    if (value === functionMark) {
      lost(key, 'code')
      continue
    }
    switch (key) {
      case 'script':
      case 'name':
      case 'args':
      case 'interpreter':
      case 'interpreter_args':
      case 'cwd':
      case 'env':
        break
      case 'instances': {
        const count = Number(value)
        if (Number.isInteger(count) && count > 1) entry.instances = count
        else if (count !== 1) lost(key, 'no-equivalent', 'instances: 4')
        break
      }
      case 'user':
      case 'uid':
        entry.user = String(value)
        break
      case 'gid':
        entry.group = String(value)
        break
      case 'max_memory_restart': {
        const limit = memory(value)
        if (limit === undefined) lost(key, 'invalid', 'limits.memory')
        else Object.assign(limits, { memory: limit, action: 'restart' })
        break
      }
      case 'kill_timeout':
        if (typeof value === 'number') entry.stop = { ...entry.stop, grace: milliseconds(value) }
        break
      case 'restart_delay':
      case 'exp_backoff_restart_delay':
        if (Number(value) > 0) entry.restart = { ...entry.restart, backoff: milliseconds(Number(value)) }
        break
      case 'autostart':
        if (value === false) entry.autostart = false
        break
      case 'watch': {
        const globs = Array.isArray(value)
          ? value.filter((one) => typeof one === 'string')
          : value === true
            ? ['**']
            : []
        if (globs.length > 0) entry.watch = globs
        break
      }
      case 'wait_ready':
        if (value === true) lost(key, 'other-way', 'ready')
        break
      case 'shutdown_with_message':
        if (value === true) lost(key, 'other-way', 'stop.signal')
        break
      default: {
        const other = elsewhere(key, otherKeys)
        if (other !== undefined) lost(key, other.why, other.instead)
        else if (!alwaysSo.test(key)) lost(key, 'unknown')
      }
    }
  }
  if (app.autorestart === false) entry.oneshot = true
  // Several processes shared one port under pm2.
  if (/^cluster/.test(String(app.exec_mode)) && entry.instances !== undefined)
    lost('exec_mode', 'other-way', 'forwards')
  if (Object.keys(limits).length > 0) entry.limits = limits
  into.add(entry)
}

interface Script {
  readonly name: string
  readonly place: string
  readonly script: string
  readonly cwd: string | undefined
  readonly env: Readonly<Record<string, string>>
  readonly hasFile: ImportContext['hasFile']
}

/** As pm2 chooses it: by `interpreter`, by the ending, a program of the PATH, or Node. */
function commandOf(
  into: Collected,
  app: Readonly<Record<string, unknown>>,
  { name, place, script, cwd, env, hasFile }: Script,
): Pick<ProgramEntry, 'command' | 'env'> {
  const words = (key: string): readonly string[] => {
    const given = app[key]
    if (Array.isArray(given)) return given.map(String)
    if (given === undefined || given === null) return []
    return splitWords(String(given)) ?? [String(given)]
  }
  const args = words('args')
  const withEnv = Object.keys(env).length === 0 ? {} : { env }
  const isCommandLine = script.includes(' ') && !hasFile(path.join(cwd ?? '', script))
  if (isCommandLine) {
    const text = [script, ...args].join(' ')
    return shellCommand(into, { program: name, where: `${place}.script`, text, env, shell: 'bash' })
  }
  const interpreter =
    read.text(app.interpreter) ??
    interpreters[path.extname(script)] ??
    (script.includes('/') ? 'node' : 'none')
  // A script is looked for in the folder even when its name is bare; a program of ours, in the PATH.
  if (interpreter === 'none') return { command: [script, ...args], ...withEnv }
  return { command: [interpreter, ...words('interpreter_args'), script, ...args], ...withEnv }
}

/** `300M`, `1G` or a number of bytes. */
function memory(value: unknown): string | undefined {
  const [, amount, unit] = /^(\d+)\s*([KMG]?)B?$/i.exec(String(value)) ?? []
  if (amount === undefined) return undefined
  return unit === '' || unit === undefined
    ? `${Math.max(1, Math.ceil(Number(amount) / 1024))}K`
    : amount + unit.toUpperCase()
}
