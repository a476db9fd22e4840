import type { Writable } from 'node:stream'
import { parseEnv } from 'node:util'
import type { ConnectorTransport } from '../../config/connector-configuration.ts'
import { withVariables } from '../../config/variables.ts'
import { redactor } from '../../log/redaction.ts'
import { childEnvironment } from '../../os/child-environment.ts'
import { errorText } from '../../os/failure.ts'
import { readRegularFile } from '../../os/regular-file.ts'
import { system } from '../../os/system.ts'
import { endProcesses, hasEnded } from '../../process/ending.ts'
import { describeEnd, describeStartFailure, type SpawnedProcess, startProcess } from '../../process/start.ts'
import { onOneLine } from '../protocol/message.ts'
import { LastLines } from './last-lines.ts'
import { connectorVariable } from './leftovers.ts'
import { longestMessage } from './limits.ts'
import { LineReader } from './line-reader.ts'
import { type Sent, SessionLost, type Wire, type WireEvents, type WireFacts } from './wire.ts'

/** ms that a server has to end by itself when its stdin ends, and after SIGTERM. */
const grace = { inputEnded: 1000, terminated: 2000 }

/** Bytes that may wait for a server that does not read. */
const mostWaiting = 4 * longestMessage

/** Lines of stderr in an error. */
const saidLines = 3

type StdioTransport = Extract<ConnectorTransport, { kind: 'stdio' }>

/**
 * A server as a child process in a session of its own: messages go to its stdin and come from its stdout, one a line. It is ended by the end
 * of its stdin, then by SIGTERM, then by SIGKILL, with all that it has started.
 * @param mark what {@link connectorVariable} holds for it.
 * @throws Error in words when a variable that its configuration names is not set, or a file of variables cannot be read.
 */
export function stdioWire(transport: StdioTransport, mark: string, events: WireEvents): Wire {
  const { cwd } = transport
  const resolved = (text: string) => withVariables(text, process.env, cwd)
  const command = transport.command.map(resolved)
  const [program = '', ...words] = command
  const environment = environmentOf(transport, resolved)
  const started = startProcess({
    program,
    words,
    cwd,
    environment: { ...environment, [connectorVariable]: mark },
    output: 'pipe',
    takesInput: true,
    ready: async () => ({ ready: true }),
  })
  const redact = redactor(secretsIn(transport, command, environment))
  return new StdioWire(started.process, started.outcome, { program, mark, redact }, events)
}

/** Names of variables that hold secrets. */
const secretName = /token|secret|passw|key|auth|credential|cookie|dsn/i

/** Characters of a text that is worth hiding: a shorter one is in many words. */
const shortestSecret = 8

/** What the server must know and nobody else: it may print it, or say it in an error. */
function secretsIn(
  { command, env, envFile }: StdioTransport,
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
): readonly string[] {
  const isReference = (text: string) => text.includes('${')
  const names = [...Object.keys(env), ...envFile.flatMap((file) => Object.keys(variablesIn(file)))]
  const hidden = names.filter((name) => secretName.test(name) || isReference(env[name] ?? ''))
  const ofCommand = words.filter((_word, at) => isReference(command[at] ?? ''))
  const values = [...ofCommand, ...hidden.map((name) => environment[name] ?? '')]
  return values.filter(({ length }) => length >= shortestSecret)
}

function environmentOf(
  { env, envFile }: StdioTransport,
  resolved: (text: string) => string,
): NodeJS.ProcessEnv {
  const ofFiles = Object.assign({}, ...envFile.map(variablesIn)) as NodeJS.Dict<string>
  const own = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, resolved(value)]))
  return { ...childEnvironment(process.env), ...ofFiles, ...own }
}

function variablesIn(file: string): NodeJS.Dict<string> {
  try {
    return parseEnv(readRegularFile(file, { follow: true }))
  } catch (error) {
    throw new Error(`its file of variables cannot be read: ${errorText(error)}`)
  }
}

/** ms in which the end of a process that reads nothing any more is told. */
const endIsToldMs = 500

class StdioWire implements Wire {
  readonly #process: SpawnedProcess | undefined
  readonly #events: WireEvents
  readonly #stderr: LastLines
  readonly #mark: string
  #junkLines = 0
  /** Lines of this turn of the event loop. */
  #unsent = ''
  #isOver = false
  /** Requests that were not written, because it reads nothing any more. */
  readonly #notTaken = new Set<number>()
  #ending: Promise<void> | undefined

  constructor(
    spawned: SpawnedProcess | undefined,
    outcome: ReturnType<typeof startProcess>['outcome'],
    { program, mark, redact }: { program: string; mark: string; redact: (text: string) => string },
    events: WireEvents,
  ) {
    this.#stderr = new LastLines(redact)
    this.#process = spawned
    this.#events = events
    this.#mark = mark
    void outcome.then((became) => {
      if (became.ok || became.failure.code === 'ended') return
      const isMissing = became.failure.code === 'not-run' && became.failure.system === 'ENOENT'
      const why = isMissing
        ? `${program} was not found; is it in PATH, and does cwd exist?`
        : `it ${describeStartFailure(became.failure)}`
      this.#over(new Error(why))
    })
    if (spawned === undefined) return
    const { stdout, stderr, child, ended } = spawned
    const reader = new LineReader(longestMessage, (line) => this.#line(line))
    stdout?.on('data', (chunk: Buffer) => {
      if (this.#isOver || reader.feed(chunk)) return
      this.#over(new Error(`it wrote a line of more than ${longestMessage / 1024 / 1024} MB to stdout`))
      void this.close()
    })
    stdout?.on('error', () => {})
    stderr?.on('data', (chunk: Buffer) => this.#stderr.add(chunk))
    stderr?.on('error', () => {})
    // It ends, or has closed its stdin: its end is told below.
    child.stdin?.on('error', () => {})
    const closed = (stream: NodeJS.EventEmitter | null) =>
      stream === null ? undefined : new Promise((resolve) => stream.once('close', resolve))
    void ended.then(async (end) => {
      // What it wrote last may still be on its way, but a process that it has left behind may hold its output open for ever.
      await Promise.race([
        Promise.all([closed(stdout), closed(stderr)]),
        new Promise((resolve) => setTimeout(resolve, 100)),
      ])
      this.#over(new Error(this.#withLastWords(`it ${describeEnd(end)}`)))
    })
  }

  #withLastWords(what: string): string {
    const said = this.#stderr.last(saidLines)
    return said.length === 0 ? what : `${what}; it said last: ${said.join(' | ')}`
  }

  #line(line: string): void {
    const first = line.trimStart().charCodeAt(0)
    // A batch of revision 2025-03-26 begins with a bracket; connection.ts takes it apart.
    if (first === 0x7b || first === 0x5b) this.#events.message(line, undefined)
    else this.#junkLines++
  }

  #over(problem: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    for (const id of this.#notTaken) this.#events.unanswered(id, new SessionLost(problem.message))
    this.#notTaken.clear()
    this.#events.closed(problem)
  }

  send(text: string, { id }: Sent): void {
    // Why it could not be started is about to be told, to everybody who waits.
    if (this.#process === undefined && !this.#isOver) return
    const stdin = this.#process?.child.stdin
    if (stdin == null || this.#isOver) {
      if (id !== undefined) queueMicrotask(() => this.#events.unanswered(id, new SessionLost('it has ended')))
      return
    }
    if (!stdin.writable) {
      if (id !== undefined) this.#untaken(id)
      return
    }
    if (stdin.writableLength + this.#unsent.length > mostWaiting) {
      if (id !== undefined)
        queueMicrotask(() => this.#events.unanswered(id, new Error('it does not read its requests')))
      return
    }
    // What comes in one turn of the event loop goes out in one call of the system.
    if (this.#unsent === '') setImmediate(() => this.#flush(stdin))
    this.#unsent += `${onOneLine(text)}\n`
  }

  /** It reads nothing any more: its end is about to be told, or it has closed its stdin and lives. It has not seen this request. */
  #untaken(id: number): void {
    this.#notTaken.add(id)
    const late = () => {
      if (this.#notTaken.delete(id)) this.#events.unanswered(id, new SessionLost('it has closed its stdin'))
    }
    setTimeout(late, endIsToldMs).unref()
  }

  #flush(stdin: Writable): void {
    const lines = this.#unsent
    this.#unsent = ''
    if (lines !== '' && stdin.writable) stdin.write(lines)
  }

  abandon(): boolean {
    return false
  }

  speaks(): void {}

  close(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    const spawned = this.#process
    if (spawned === undefined) return
    const { stdin } = spawned.child
    if (stdin !== null) this.#flush(stdin)
    stdin?.end()
    const isOurs = (_words: readonly string[], pid: number) =>
      system.environmentOf(pid, connectorVariable) === this.#mark
    await Promise.race([spawned.ended, hasEnded(spawned.identity, grace.inputEnded)])
    await endProcesses(spawned.identity, grace.terminated, isOurs)
    this.#over(new Error('it was ended'))
  }

  facts(): WireFacts {
    return {
      pid: this.#isOver ? null : (this.#process?.pid ?? null),
      junkLines: this.#junkLines,
      lastLines: this.#stderr.last(20),
    }
  }
}
