/** `mcp-proxy login` and `mcp-proxy logout`: the gateway's own login at a server that wants OAuth. */
import { createInterface } from 'node:readline'
import { countParser } from '../config/values.ts'
import type { LoginOptions } from '../gateway/login/index.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { prepareStateDirectory } from '../record/state-directory.ts'
import { writersDirectory } from '../record/usual-directories.ts'
import { argument, filled, type Program } from './command.ts'
import { connectorIn, connectorsOf, gatewayCommand } from './mcp-command.ts'
import { askRunning } from './mcp-orders.ts'

interface Options {
  readonly config?: string
  readonly stateDir?: string
  readonly port: number
}

const login: Program = {
  command: gatewayCommand('login', 'Log in at a server that wants OAuth, so that the gateway can use it.')
    .argument('<CONNECTOR>', 'its id')
    .option(
      '--port <PORT>',
      'port of this machine that the browser comes back to',
      argument(countParser(0, 65_535)),
      0,
    )
    .option('--config <FILE>', 'configuration file, or that of an MCP client', filled),
  run: async (id: string, options: Options) => {
    const given = await loginOf(id, options)
    const { connector, stateDirectory } = given
    if (given.auth.grant === 'client_credentials')
      throw new Failure(
        `connector '${connector}' needs no person: the gateway logs in by itself`,
        exitCode.usage,
      )
    const { logIn } = await import('../gateway/login/person-login.ts')
    const input = createInterface({ input: process.stdin })
    const brought = new Promise<string>((resolve) => input.once('line', resolve))
    try {
      const issuer = await logIn({ ...given, port: options.port, brought, open: tellPage })
      process.stdout.write(`Logged in at ${oneLine(issuer)} for connector '${connector}'.\n`)
    } finally {
      input.close()
      // A pipe that is read keeps a process alive.
      process.stdin.destroy()
    }
    // The gateway that runs, if one does; the login is kept all the same.
    await askRunning(stateDirectory, 'retry', { connectors: [connector] }).catch(() => {})
    return exitCode.ok
  },
}

function tellPage(page: string, redirectUri: string): void {
  process.stdout.write(`Open this page in a browser and log in:\n\n  ${oneLine(page)}\n\n`)
  process.stderr.write(
    `It comes back to ${redirectUri}. From a browser on another machine it cannot: then paste the address that it could not open here.\n`,
  )
}

const logout: Program = {
  command: gatewayCommand('logout', 'End the login of the gateway at a server, and forget its tokens.')
    .argument('<CONNECTOR>', 'its id')
    .option('--config <FILE>', 'configuration file, or that of an MCP client', filled),
  run: async (id: string, options: Options) => {
    const given = await loginOf(id, options)
    const { logOut } = await import('../gateway/login/person-login.ts')
    const was = await logOut(given)
    process.stdout.write(
      `${was ? 'Logged out of' : 'There was no login for'} connector '${given.connector}'.\n`,
    )
    return exitCode.ok
  },
}

export const loginPrograms: readonly Program[] = [login, logout]

/** @throws Failure when the connector has no login. */
async function loginOf(name: string, { config, stateDir }: Options): Promise<LoginOptions> {
  const { id, transport } = connectorIn(await connectorsOf(config), name)
  if (transport.kind === 'stdio' || transport.auth === undefined)
    throw new Failure(`connector '${id}' has no login; write auth: oauth beside its url`, exitCode.usage)
  const { directory } = writersDirectory(stateDir)
  prepareStateDirectory(directory)
  const { loginOptions } = await import('../gateway/login/index.ts')
  return loginOptions(directory, id, transport.url, transport.auth)
}
