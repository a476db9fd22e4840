/**
 * gateway/: many MCP servers ("connectors") behind one door (`mcp-proxy`), whatever generation of the protocol the client and the server
 * speak. It relays: a message goes through as it was written, but for its id, its progress token and the name of what it asks for.
 *
 *   client -> face/ (stdin and stdout: lines.ts; another process of this user: attach.ts; HTTP: http.ts, then legacy.ts or modern.ts)
 *          -> access.ts: who is it (Principal)
 *          -> Session (session.ts): answered from the gateway's own state (initialize, lists), or
 *          -> Directory (directory.ts): which server a name leads to (Route)
 *          -> Upstream (upstream/index.ts): started when it is needed, once
 *          -> Connection (upstream/connection.ts): numbers of requests, and what a server asks meanwhile
 *          -> Wire (upstream/*-wire.ts) -> the server, and back the same way
 *
 * protocol/ knows JSON-RPC and the revisions; gateway-core.ts holds what all faces share. One file, one behaviour. To add
 *   - a way to reach servers: a `Wire`, and a line of `wireOf` in upstream/index.ts;
 *   - a way in: a file of face/ that makes a `Session` and gives it messages;
 *   - a method of the protocol: a line of `#answer` in session.ts. What is not named there goes to the server, when there is but one.
 * Loaded by `mcp-proxy` alone: a process of its own, so that its faults never touch the watchdog.
 */
import path from 'node:path'
import { exitCode, Failure } from '../os/failure.ts'
import { fileNames, prepareStateDirectory } from '../record/state-directory.ts'
import { attach } from './face/attach.ts'
import { serveLines } from './face/lines.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { GatewayOptions } from './options.ts'
import { owner } from './principal.ts'
import { GatewayProcess } from './process.ts'

export { reportFailure } from './process.ts'

/**
 * Runs the gateway until its client or a signal ends it. Without HTTP it joins the one that runs already, where there is one.
 * @returns the exit code. @throws Failure when it cannot start.
 */
export async function runGateway(options: GatewayOptions): Promise<number> {
  const { stateDirectory, wanted, reportDescriptor } = options
  prepareStateDirectory(stateDirectory)
  const isFace = wanted.http === undefined && reportDescriptor === undefined
  if (isFace) {
    const joined = await join(options)
    if (joined !== undefined) return joined
  }
  const over = untilSignal()
  const gateway = await GatewayProcess.begin(options)
  process.on('SIGHUP', () => gateway.hangUp())
  const directory = gateway.core.directoryFor(owner)
  if (isFace && directory !== undefined) {
    const session = (unsolicited: (text: string) => boolean) =>
      gateway.core.newSession(owner, directory, unsolicited)
    // Other clients may have joined this gateway: it goes on until the last of them has left.
    const clients = serveLines({ session, input: process.stdin, output: process.stdout }).then(() =>
      lastHasLeft(gateway.core),
    )
    await Promise.race([over, clients])
  } else {
    await over
  }
  await gateway.end()
  return exitCode.ok
}

/** @returns undefined = no gateway runs. */
async function join({ stateDirectory, chosen, say }: GatewayOptions): Promise<number | undefined> {
  const file = path.join(stateDirectory, fileNames.gatewayClients)
  const wish = chosen === undefined ? {} : { connectors: chosen }
  const attached = await attach(file, wish, process.stdin, process.stdout)
  if (attached?.ok === false) throw new Failure(attached.error, exitCode.usage)
  if (attached?.ok !== true) return undefined
  say('Joined the gateway that runs already')
  const how = await attached.over
  if (how === 'gateway-gone')
    throw new Failure('the gateway that this client used has ended', exitCode.unavailable)
  return exitCode.ok
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve())
  })
}

/** ms between two looks at whether clients are left. */
const lookEveryMs = 200

async function lastHasLeft({ sessions }: GatewayCore): Promise<void> {
  while (sessions.size > 0) await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
}
