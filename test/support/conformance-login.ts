import { connectorConfigurations } from '../../src/config/connector-schema.ts'
import { loginOptions } from '../../src/gateway/login/index.ts'
import { logIn } from '../../src/gateway/login/person-login.ts'

/** What a scenario tells its client. */
interface Told {
  readonly client_id?: string
  readonly client_secret?: string
}

/** The document that the suite takes for a client's, where a server takes documents. Nobody fetches it. */
const document = 'https://conformance-test.local/client-metadata.json'

/** The connector for the server of the suite, as a person would configure it. @param scenario of the suite: `auth/…` wants a login. */
export function suiteConnector(url: string, scenario: string, { client_id, client_secret }: Told) {
  const known = scenario === 'auth/basic-cimd' ? { clientId: document } : undefined
  const given = client_id === undefined ? known : { clientId: client_id, clientSecret: client_secret }
  const auth = scenario.startsWith('auth/') ? { auth: given ?? ('oauth' as const) } : {}
  const entries = { suite: { url, timeout: 20_000, ...auth } }
  return connectorConfigurations(entries, process.cwd(), 'the test', undefined)
}

/** Does what `mcp-proxy login suite` does, and goes where a browser would go. @throws Failure when it does not come to a login. */
export async function logInAtSuite(
  stateDirectory: string,
  [connector]: ReturnType<typeof suiteConnector>,
): Promise<void> {
  const { transport } = connector ?? {}
  if (transport === undefined || transport.kind === 'stdio' || transport.auth === undefined) return
  const options = loginOptions(stateDirectory, 'suite', transport.url, transport.auth)
  const open = (page: string) => void fetch(page).catch(() => {})
  await logIn({ ...options, port: 0, brought: new Promise(() => {}), open })
}
