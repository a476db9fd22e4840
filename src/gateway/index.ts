/**
 * gateway/: many MCP servers ("connectors") behind one door (`mcp-proxy`), whatever generation of the protocol the client and the server
 * speak. It relays: a message goes through as it was written, but for its id, its progress token and the name of what it asks for.
 *
 *   client -> face/ (stdin and stdout: lines.ts; another process of this user: attach.ts; HTTP: http.ts, then legacy.ts or modern.ts)
 *          -> access.ts: who is it (Principal; oauth/ for tokens); views.ts: what he may see (Directory)
 *          -> Session (session.ts): answered from the gateway's own state (introduction.ts: initialize, discover), or
 *          -> ServerRequests (server-requests.ts): lists from what is known, calls to where Directory (directory.ts) says that a name leads,
 *             or TaskRequests (task-requests.ts): to the server that has a task (tasks.ts), by task-bridge.ts where that is of the other generation
 *          -> Relay (relay.ts): one call between two generations, and again where that is safe
 *          -> Upstream (upstream/index.ts): started when it is needed, once
 *          -> Connection (upstream/connection.ts): numbers of requests, and what a server asks meanwhile
 *          -> Wire (upstream/*-wire.ts) -> the server, and back the same way
 *
 * process.ts is the gateway as a process: holding.ts holds its place in the state directory, running-orders.ts takes orders while it runs,
 * self-report.ts tells how it is, succession.ts hands it over, and seat.ts finds it for one client.
 *
 * tap/ writes down what goes over wires while somebody wants to see it; verify/ asks a server as clients do, from outside.
 * protocol/ knows JSON-RPC and the revisions; gateway-core.ts holds what all faces share. One file, one behaviour. To add
 *   - a way to reach servers: a `Wire`, and a line of `wireOf` in upstream/start.ts;
 *   - a way in: a file of face/ that makes a `Session` and gives it messages;
 *   - a method of the protocol: a line of `#answer` in session.ts. What is not named there goes to the server, when there is but one.
 * Loaded by `mcp-proxy` alone: a process of its own, so that its faults never touch the watchdog.
 */
import { errorText, exitCode, Failure } from '../os/failure.ts'
import { takeInheritance } from '../process/inheritance.ts'
import { sendStartReport } from '../process/start-report.ts'
import { prepareStateDirectory } from '../record/state-directory.ts'
import { LastingClient } from './face/lasting-client.ts'
import type { GatewayOptions } from './options.ts'
import { GatewayProcess } from './process.ts'
import { Seat } from './seat.ts'

/**
 * Runs the gateway until its client or a signal ends it. Without HTTP and without a monitor it is the face of one client: it joins the gateway
 * that runs, or becomes it.
 * @returns the exit code. @throws Failure when it cannot start.
 */
export async function runGateway(options: GatewayOptions): Promise<number> {
  const inheritance = takeInheritance(process.env, process.pid)
  prepareStateDirectory(options.stateDirectory)
  const over = untilSignal()
  const isFace = options.wanted.http === undefined && options.reportDescriptor === undefined
  if (isFace) return await serveClient(options, over)
  const gateway = await GatewayProcess.begin(options, inheritance)
  process.on('SIGHUP', () => gateway.hangUp())
  await Promise.race([over, gateway.left])
  await gateway.end()
  return exitCode.ok
}

/** Serves the client on stdin and stdout through the gateway that runs. Where none does, this process becomes it, for other clients, too. */
async function serveClient(options: GatewayOptions, over: Promise<void>): Promise<number> {
  const seat = new Seat(options)
  process.on('SIGHUP', () => seat.hosted?.hangUp())
  const client = new LastingClient(process.stdout, (isForMonitor) => seat.find(isForMonitor))
  let isOver = false
  const ended = over.then(() => {
    isOver = true
    client.stay()
  })
  await Promise.race([ended, client.serve(process.stdin)])
  await seat.leave()
  // Other clients may have joined this gateway: it goes on until the last of them has left.
  if (!isOver) await Promise.race([ended, seat.lastHasLeft()])
  await seat.hosted?.end()
  return exitCode.ok
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve())
  })
}

/** Says to who has started this process why it cannot be the gateway. */
export function reportFailure(descriptor: number | undefined, error: unknown): void {
  const code = error instanceof Failure ? error.exitCode : exitCode.internal
  sendStartReport(descriptor, { ready: false, message: errorText(error), exitCode: code })
}
