/** The command `proxy-ctl key`: API keys. */
import { Argument } from 'commander'
import type { Parsed } from '../config/values.ts'
import type { KeyState } from '../orders/key-orders.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { keyScopes } from '../record/api-keys.ts'
import { argument, type Program, repeatable } from './command.ts'
import { type OrderOptions, order, print, subcommand } from './ctl-command.ts'

interface Options extends OrderOptions {
  readonly scope?: readonly string[]
  readonly program?: readonly string[]
  /** ms; null = never. */
  readonly expires?: number | null
}

const actions = ['create', 'list', 'revoke'] as const

type Action = (typeof actions)[number]

export const keyProgram: Program = {
  command: subcommand('key', 'Make, list and revoke keys of the HTTP API.')
    .addArgument(
      new Argument('<ACTION>', 'create, list or revoke').choices(actions).argParser(argument(parseAction)),
    )
    .argument('[NAME]', 'whose key it is; with revoke its name or id')
    .option(
      '--scope <SCOPE>',
      'with create: what it allows, of read, control, input, config; several with commas (default: read)',
      repeatable(parseScopes),
    )
    .option(
      '--program <NAME>',
      'with create: a program or forward that it may see and order (repeatable; default: all)',
      repeatable((text) => ({ ok: true, value: text })),
    )
    .option(
      '--expires <TIME>',
      'with create: how long it is good for, such as 12h or 30d; "never" = for ever (default: 90d)',
      argument(parseLifetime),
    ),
  run: async (action: Action, name: string | undefined, options: Options) => {
    if (action === 'list') return print(await order(options, 'key-list', {}), options, listText)
    if (name === undefined)
      throw new Failure(`key ${action} needs a name (see proxy-ctl key --help)`, exitCode.usage)
    if (action === 'revoke') {
      return print(await order(options, 'key-revoke', { key: name }), options, revokedText)
    }
    const { scope, program = [], expires } = options
    const input = {
      name,
      units: program,
      ...(scope === undefined ? {} : { scopes: scope.flatMap((text) => text.split(',')) }),
      ...(expires === undefined ? {} : { expiresInMs: expires }),
    }
    return print(await order(options, 'key-create', input), options, createdText)
  },
}

/** The key alone on stdout, so that it can be written to a file. */
function createdText({ secret, key }: { readonly secret: string; readonly key: KeyState }): string {
  const until = key.expiresAt === null ? 'for ever' : `until ${key.expiresAt}`
  const what = `${key.scopes.join(', ')} on ${unitsOf(key)}`
  process.stderr.write(`The key ${key.name} allows ${what}, ${until}. It is shown this once.\n`)
  return `${secret}\n`
}

function listText({ keys }: { readonly keys: readonly KeyState[] }): string {
  if (keys.length === 0) return 'There are no keys.\n'
  return keys.map((key) => `${keyText(key)}\n`).join('')
}

function revokedText({ key }: { readonly key: KeyState }): string {
  return `revoked ${keyText(key)}\n`
}

function keyText(key: KeyState): string {
  const { name, id, scopes, expiresAt, expired, lastUsedAt } = key
  const life = expiresAt === null ? 'never expires' : `${expired ? 'expired' : 'expires'} ${expiresAt}`
  const use = lastUsedAt === null ? 'never used' : `last used ${lastUsedAt}`
  return `${name}  pwk_${id}_…  ${scopes.join(',')}  ${unitsOf(key)}  ${life}  ${use}`
}

function unitsOf({ units }: KeyState): string {
  return units === null ? 'all units' : units.join(',')
}

function parseAction(text: string): Parsed<Action> {
  const value = actions.find((action) => action === text)
  return value === undefined
    ? { ok: false, problem: `"${text}" is not an action; write create, list or revoke` }
    : { ok: true, value }
}

function parseScopes(text: string): Parsed<string> {
  const wrong = text.split(',').find((one) => !(keyScopes as readonly string[]).includes(one))
  return wrong === undefined
    ? { ok: true, value: text }
    : { ok: false, problem: `"${wrong}" is not a scope; there are ${keyScopes.join(', ')}` }
}

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** @returns ms; null = never. */
export function parseLifetime(text: string): Parsed<number | null> {
  if (text === 'never') return { ok: true, value: null }
  const match = /^(\d{1,6})([mhd])$/.exec(text)
  const ms = Number(match?.[1] ?? 0) * unitMs[(match?.[2] ?? 'm') as keyof typeof unitMs]
  return ms > 0 && ms <= 3650 * unitMs.d
    ? { ok: true, value: ms }
    : { ok: false, problem: `"${text}" is not a lifetime; write 30m, 12h, 30d or never` }
}
