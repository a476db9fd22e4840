import { exitCode, Failure } from '../os/failure.ts'
import { Secret } from './secret.ts'
import type { Parsed } from './values.ts'

/** Where several gateways keep the keys of their clients together; one gateway alone keeps them in its state directory. */
export interface StoreConfiguration {
  /** `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or `${NAME}` for the environment variable that holds it. */
  readonly url: Secret
  /** ms that keys which are known are taken while the database does not answer. */
  readonly outageMs: number
}

export const usualOutageMs = 10 * 60_000

const reference = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/

/** The problem never repeats what was written: it may hold a password. */
export function parseStoreUrl(text: string): Parsed<Secret> {
  return reference.test(text) || isStoreUrl(text)
    ? { ok: true, value: new Secret(text) }
    : {
        ok: false,
        problem:
          // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
          'it is not a URL such as postgres://USER@HOST/DATABASE, nor ${NAME} for an environment variable that holds one',
      }
}

/** The environment variable that holds the URL; undefined = it is written itself. */
export function storeVariable({ url }: StoreConfiguration): string | undefined {
  return reference.exec(url.reveal())?.[1]
}

/** The URL itself. @throws Failure (78) when its variable is not set, or holds something else. */
export function storeUrl(store: StoreConfiguration, environment: NodeJS.ProcessEnv): string {
  const variable = storeVariable(store)
  if (variable === undefined) return store.url.reveal()
  const value = environment[variable] ?? ''
  if (isStoreUrl(value)) return value
  const what = value === '' ? 'is not set' : 'holds no URL such as postgres://USER@HOST/DATABASE'
  throw new Failure(`the store: the environment variable ${variable} ${what}`, exitCode.configuration)
}

function isStoreUrl(text: string): boolean {
  return URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol)
}

/** Which database it is, for people: `db.internal:5432/gateway`. Without user and password. */
export function storePlace(text: string): string {
  const { hostname, port, pathname, searchParams, username } = new URL(text)
  const host = searchParams.get('host') ?? decodeURIComponent(hostname)
  const database = pathname.slice(1) || decodeURIComponent(username) || 'postgres'
  const at = host.startsWith('/')
    ? host
    : `${host || 'localhost'}:${searchParams.get('port') || port || 5432}`
  return `${at}/${database}`
}
