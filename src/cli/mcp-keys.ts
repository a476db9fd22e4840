/** `mcp-proxy key`: the keys of clients that come over HTTP. Gateways see a change at once. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { LoadedConnectors } from '../config/load-connectors.ts'
import type { Secret } from '../config/secret.ts'
import { parseStoreUrl, type StoreConfiguration, usualOutageMs } from '../config/store-configuration.ts'
import type { Parsed } from '../config/values.ts'
import { openStore } from '../gateway/store/index.ts'
import type { Store } from '../gateway/store/store.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { readRegularFile } from '../os/regular-file.ts'
import type { ApiKey, KeyRequest, MadeKey } from '../record/api-keys.ts'
import { type GatewayState, readGatewayState } from '../record/shapes/gateway-state.ts'
import { fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { writersDirectory } from '../record/usual-directories.ts'
import { argument, filled, type Program } from './command.ts'
import { parseLifetime } from './ctl-keys.ts'
import { configuredConnectors, gatewayCommand, storeHelp } from './mcp-command.ts'

interface Options {
  readonly stateDir?: string
  readonly store?: Secret
  readonly config?: string
  readonly connectors?: readonly string[]
  readonly profile?: string
  readonly scope?: readonly GatewayScope[]
  /** ms; null = never. */
  readonly expires?: number | null
}

/** What a key may do, and as what its record has it. */
const scopeNames = { call: 'control', logs: 'read' } as const

type GatewayScope = keyof typeof scopeNames

const actions = ['create', 'list', 'revoke', 'rotate'] as const

type Action = (typeof actions)[number]

/** Characters of a name. */
const longestName = 128

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
      '--scope <SCOPES>',
      'with create: what it may do: call (use connectors), logs (read the log of the gateway at /logs), or call,logs (default: call)',
      argument(parseScopes),
    )
    .option(
      '--expires <TIME>',
      'with create: how long it is good for, such as 12h or 30d; "never" = for ever (default: 90d)',
      argument(parseLifetime),
    )
    .option('--store <URL>', storeHelp, argument(parseStoreUrl))
    .option('--config <FILE>', 'configuration file whose gateway.store is used', filled),
  run: async (action: Action, name: string | undefined, options: Options) => {
    const { directory } = writersDirectory(options.stateDir)
    const loaded = options.store === undefined ? await configuredConnectors(options.config) : undefined
    const configured = storeOf(options, loaded)
    if (configured === undefined) {
      prepareStateDirectory(directory)
      demandSameStore(directory)
    }
    const store = await openStore(directory, configured)
    try {
      const code = await carryOut(action, name, options, store)
      if (action === 'list' && store.kind === 'files') tellFirstKey(directory)
      if (action === 'create') warnOfUnknown(options, loaded)
      return code
    } finally {
      await store.close()
    }
  },
}

/** A key in a file would be none where the gateway of this state directory keeps them elsewhere. @throws Failure (64) */
function demandSameStore(directory: string): void {
  const store = storeOfGateway(directory)
  if (store == null || store.kind === 'files') return
  throw new Failure(
    `the gateway of ${directory} keeps its keys in ${store.place}: give --store with its URL, or --config`,
    exitCode.usage,
  )
}

/** Where the gateway that runs in a state directory, or ran there last, keeps its keys; undefined = none is known. */
function storeOfGateway(directory: string): GatewayState['store'] | undefined {
  try {
    const text = readRegularFile(path.join(directory, fileNames.gatewayState))
    return readGatewayState(JSON.parse(text))?.store
  } catch {
    return undefined
  }
}

/** Where the gateway keeps them that this person means. */
function storeOf(
  { store: url }: Options,
  loaded: LoadedConnectors | undefined,
): StoreConfiguration | undefined {
  return url === undefined ? loaded?.gateway.store : { url, outageMs: usualOutageMs }
}

/** The key of the first start is no record, and lets its holder in all the same. */
function tellFirstKey(directory: string): void {
  const file = path.join(directory, fileNames.gatewayFirstKey)
  if (!existsSync(file)) return
  process.stdout.write(`The key of the first start is good for all connectors, too: ${oneLine(file)}\n`)
}

/** A connector may be added later, so the key is made all the same. */
function warnOfUnknown({ connectors = [], profile }: Options, loaded: LoadedConnectors | undefined): void {
  if (loaded === undefined) return
  const known = loaded.connectors.map(({ id }) => id)
  const missing = connectors.filter((id) => !known.includes(id)).map((id) => `connector "${oneLine(id)}"`)
  if (profile !== undefined && !Object.hasOwn(loaded.gateway.access.profiles, profile))
    missing.push(`profile "${oneLine(profile)}"`)
  for (const what of missing)
    process.stderr.write(`mcp-proxy: warning: there is no ${what} in ${oneLine(loaded.file)}\n`)
}

async function carryOut(
  action: Action,
  name: string | undefined,
  options: Options,
  store: Store,
): Promise<number> {
  if (action === 'list') return list(await store.list())
  if (name === undefined)
    throw new Failure(`key ${action} needs a name (see mcp-proxy key --help)`, exitCode.usage)
  if (action === 'create') {
    if (name.trim() === '' || name.length > longestName)
      throw new Failure(`a name has 1 to ${longestName} characters`, exitCode.usage)
    const { expires = usualLifetimeMs, connectors = null, scope = ['call'] } = options
    const scopes = scope.map((one) => scopeNames[one])
    const asked = request({ name, units: connectors, scopes, ...profileIn(options) }, expires)
    return show(await store.create(asked))
  }
  const key = find(await store.list(), name)
  if (action === 'revoke') {
    await store.revoke(key.id)
    process.stdout.write(`revoked ${textOf(key)}\n`)
    return exitCode.ok
  }
  const left =
    key.expiresAt === null ? null : Math.max(usualLifetimeMs, Date.parse(key.expiresAt) - Date.now())
  return show(await store.replace(key.id, request(key, left)))
}

function request(
  { name, units, scopes, ...more }: Pick<ApiKey, 'name' | 'units' | 'scopes' | 'profile'>,
  lifetimeMs: number | null,
): KeyRequest {
  const expiresAt = lifetimeMs === null ? null : new Date(Date.now() + lifetimeMs).toISOString()
  return { name, units, ...profileIn(more), scopes, expiresAt }
}

/** The key alone on stdout, so that it can be written to a file. */
function show({ secret, key }: MadeKey): number {
  process.stderr.write(`${textOf(key)}. The key is shown this once.\n`)
  process.stdout.write(`${secret}\n`)
  return exitCode.ok
}

function list(all: readonly ApiKey[]): number {
  process.stdout.write(
    all.length === 0 ? 'Nobody has made a key yet.\n' : all.map((key) => `${textOf(key)}\n`).join(''),
  )
  return exitCode.ok
}

function find(all: readonly ApiKey[], asked: string): ApiKey {
  const found = all.find(({ id, name }) => id === asked || name === asked)
  if (found !== undefined) return found
  const known = all.map(({ name }) => name).join(', ') || 'none'
  throw new Failure(`there is no key "${oneLine(asked)}"; known keys: ${known}`, exitCode.usage)
}

function profileIn({ profile }: { readonly profile?: string }) {
  return profile === undefined ? {} : { profile }
}

function textOf({ id, name, units, scopes, profile, expiresAt, lastUsedAt }: ApiKey): string {
  const life =
    expiresAt === null
      ? 'never expires'
      : `${Date.parse(expiresAt) < Date.now() ? 'expired' : 'expires'} ${expiresAt}`
  const use = lastUsedAt === null ? 'never used' : `last used ${lastUsedAt}`
  const bound = units === null ? 'all connectors' : units.join(',')
  const ofProfile = profile === undefined ? '' : ` of profile ${oneLine(profile)}`
  const isForLog = scopes.includes(scopeNames.logs)
  const what =
    isForLog && !scopes.includes(scopeNames.call)
      ? 'the log alone'
      : `${bound}${ofProfile}${isForLog ? ' and the log' : ''}`
  return `${oneLine(name)}  pwk_${id}_…  ${what}  ${life}  ${use}`
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

function parseScopes(text: string): Parsed<readonly GatewayScope[]> {
  const names = [...new Set(text.split(',').map((name) => name.trim()))]
  const isScope = (name: string): name is GatewayScope => Object.hasOwn(scopeNames, name)
  return names.every(isScope)
    ? { ok: true, value: names }
    : { ok: false, problem: `"${text}" is no scope; write call, logs or call,logs` }
}
