/** `mcp-proxy key`: the keys of clients that come over HTTP. The gateway sees a change within a tenth of a second. */
import type { Parsed } from '../config/values.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { type ApiKey, ApiKeys } from '../record/api-keys.ts'
import { fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { writersDirectory } from '../record/usual-directories.ts'
import { argument, filled, type Program } from './command.ts'
import { parseLifetime } from './ctl-keys.ts'
import { gatewayCommand } from './mcp-command.ts'

interface Options {
  readonly stateDir?: string
  readonly connectors?: readonly string[]
  readonly profile?: string
  /** ms; null = never. */
  readonly expires?: number | null
}

const actions = ['create', 'list', 'revoke', 'rotate'] as const

type Action = (typeof actions)[number]

const usualLifetimeMs = 90 * 24 * 3_600_000

export const gatewayKeyProgram: Program = {
  command: gatewayCommand('key', 'Make, list, revoke and rotate the keys of clients that come over HTTP.')
    .argument('<ACTION>', 'create, list, revoke or rotate', argument(parseAction))
    .argument('[NAME]', 'whose key it is; with revoke and rotate its name or id')
    .option(
      '--connectors <IDS>',
      'with create: the connectors that it may use, separated by commas (default: all)',
      argument(parseIds),
    )
    .option('--profile <NAME>', 'with create: the profile that it is bound to', filled)
    .option(
      '--expires <TIME>',
      'with create: how long it is good for, such as 12h or 30d; "never" = for ever (default: 90d)',
      argument(parseLifetime),
    ),
  run: (action: Action, name: string | undefined, options: Options) => {
    const { directory } = writersDirectory(options.stateDir)
    prepareStateDirectory(directory)
    const keys = new ApiKeys(directory, fileNames.gatewayKeys)
    if (action === 'list') return list(keys)
    if (name === undefined)
      throw new Failure(`key ${action} needs a name (see mcp-proxy key --help)`, exitCode.usage)
    if (action === 'create') {
      if (keys.list().some((key) => key.name === name))
        throw new Failure(`there is a key ${oneLine(name)} already; revoke or rotate it`, exitCode.usage)
      const { expires = usualLifetimeMs, connectors = null } = options
      return create(keys, { name, units: connectors, ...profileIn(options) }, expires)
    }
    const key = find(keys, name)
    if (action === 'revoke') {
      keys.revoke(key.id)
      process.stdout.write(`revoked ${textOf(key)}\n`)
      return exitCode.ok
    }
    const left =
      key.expiresAt === null ? null : Math.max(usualLifetimeMs, Date.parse(key.expiresAt) - Date.now())
    const code = create(keys, { name: key.name, units: key.units, ...profileIn(key) }, left)
    keys.revoke(key.id)
    return code
  },
}

/** The key alone on stdout, so that it can be written to a file. */
function create(
  keys: ApiKeys,
  given: Pick<ApiKey, 'name' | 'units' | 'profile'>,
  lifetimeMs: number | null,
): number {
  const expiresAt = lifetimeMs === null ? null : new Date(Date.now() + lifetimeMs).toISOString()
  const { secret, key } = keys.create({ ...given, scopes: ['control'], expiresAt })
  process.stderr.write(`${textOf(key)}. The key is shown this once.\n`)
  process.stdout.write(`${secret}\n`)
  return exitCode.ok
}

function list(keys: ApiKeys): number {
  const all = keys.list()
  process.stdout.write(
    all.length === 0 ? 'There are no keys.\n' : all.map((key) => `${textOf(key)}\n`).join(''),
  )
  return exitCode.ok
}

function find(keys: ApiKeys, asked: string): ApiKey {
  const all = keys.list()
  const found = all.find(({ id, name }) => id === asked || name === asked)
  if (found !== undefined) return found
  const known = all.map(({ name }) => name).join(', ') || 'none'
  throw new Failure(`there is no key "${oneLine(asked)}"; known keys: ${known}`, exitCode.usage)
}

function profileIn({ profile }: { readonly profile?: string }) {
  return profile === undefined ? {} : { profile }
}

function textOf({ id, name, units, profile, expiresAt, lastUsedAt }: ApiKey): string {
  const life =
    expiresAt === null
      ? 'never expires'
      : `${Date.parse(expiresAt) < Date.now() ? 'expired' : 'expires'} ${expiresAt}`
  const use = lastUsedAt === null ? 'never used' : `last used ${lastUsedAt}`
  return `${oneLine(name)}  pwk_${id}_…  ${units === null ? 'all connectors' : units.join(',')}${profile === undefined ? '' : ` of profile ${oneLine(profile)}`}  ${life}  ${use}`
}

function parseAction(text: string): Parsed<Action> {
  const value = actions.find((action) => action === text)
  return value === undefined
    ? { ok: false, problem: `"${text}" is not an action; write ${actions.join(', ')}` }
    : { ok: true, value }
}

function parseIds(text: string): Parsed<readonly string[]> {
  const ids = text
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '')
  return ids.length === 0 ? { ok: false, problem: 'name at least one connector' } : { ok: true, value: ids }
}
