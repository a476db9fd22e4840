import { mkdtempSync, rmSync } from 'node:fs'
import { type IncomingMessage, type RequestOptions, request, type Server } from 'node:http'
import { type AddressInfo, connect, createServer, type Server as NetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { GateEvent } from '../../src/forward/gate/gate-events.ts'
import { Gate, GateGroup, loadGateSecrets } from '../../src/forward/gate/index.ts'
import type { VisitorLimits } from '../../src/forward/gate/visitors.ts'
import type { LoginSecrets } from '../../src/web/login-secrets.ts'

/** A gate on a port of its own, in front of a target on 127.0.0.1. */
export interface GateUnderTest {
  readonly gate: Gate
  readonly port: number
  readonly secrets: LoginSecrets
  /** Connections that visitors have open, and that the gate has open to the target. */
  readonly open: { readonly visitors: Set<Socket>; readonly target: Set<Socket> }
  close(): Promise<void>
}

export interface GateSettings {
  readonly hosts?: readonly string[]
  /** Everything that the gate tells. */
  readonly events?: GateEvent[]
  readonly sessionMs?: number
  readonly stateDirectory?: string
  /** Where it listens; 127.0.0.1 when not given. */
  readonly address?: string
  readonly tokenFile?: string
  readonly limits?: Partial<VisitorLimits>
}

const plain = { scheme: 'http', targetScheme: 'http' } as const

export async function startGate(targetPort: number, settings: GateSettings = {}): Promise<GateUnderTest> {
  const stateDirectory = settings.stateDirectory ?? mkdtempSync(join(tmpdir(), 'pw-gate-'))
  const secrets = loadGateSecrets(stateDirectory, settings.tokenFile ?? '')
  const open = { visitors: new Set<Socket>(), target: new Set<Socket>() }
  // As the forward's own listeners are made.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  const port = await listen(server, settings.address)
  const member = { listenPort: port, targetHost: 'localhost', targetPort, ...plain }
  const group = new GateGroup(stateDirectory, secrets.cookieName, member)
  const gate = new Gate({
    member,
    group,
    secrets,
    hosts: settings.hosts ?? [],
    sessionMs: settings.sessionMs ?? 3_600_000,
    limits: settings.limits ?? {},
    tell: (event) => settings.events?.push(event),
    connect: (done) => {
      const socket = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true })
      socket.once('error', (error) => done(error, undefined))
      socket.once('connect', () => {
        keep(open.target, socket)
        socket.removeAllListeners('error')
        done(undefined, socket)
      })
    },
  })
  server.on('connection', (socket: Socket) => {
    keep(open.visitors, socket)
    gate.accept(socket, socket.remoteAddress ?? '')
  })
  group.join()
  return {
    gate,
    port,
    secrets,
    open,
    async close() {
      group.leave()
      for (const socket of [...open.visitors, ...open.target]) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      if (settings.stateDirectory === undefined) rmSync(stateDirectory, { recursive: true })
    },
  }
}

function keep(set: Set<Socket>, socket: Socket): void {
  set.add(socket)
  socket.once('close', () => set.delete(socket))
}

/** Listens on a free port and gives its number. */
export function listen(server: NetServer | Server, address = '127.0.0.1'): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, address, () => resolve((server.address() as AddressInfo).port))
  })
}

/** An answer, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** Asks a server on 127.0.0.1. */
export function ask(port: number, options: RequestOptions = {}, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, agent: false, ...options }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        text += chunk
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }))
      answer.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Fills in the login form. */
export function sendForm(
  port: number,
  fields: Readonly<Record<string, string>>,
  headers: RequestOptions['headers'] = {},
): Promise<Answer> {
  const body = new URLSearchParams(fields).toString()
  return ask(
    port,
    {
      method: 'POST',
      path: '/.port-watchdog/login',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'content-length': Buffer.byteLength(body),
        ...headers,
      },
    },
    body,
  )
}

/** Logs in and gives the `Cookie` header to go on with. */
export async function logIn({ port, secrets }: GateUnderTest): Promise<string> {
  const { status, headers } = await sendForm(port, { token: secrets.token, next: '/' })
  const cookie = headers['set-cookie']?.[0]?.split(';')[0]
  if (status !== 303 || cookie === undefined) throw new Error(`the login was answered with ${status}`)
  return cookie
}
