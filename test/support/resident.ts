import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** A program that runs until it is told to stop, and what it has printed so far. */
export class Resident {
  readonly title: string
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #exited: Promise<number | null>
  readonly #watchers = new Set<() => void>()

  constructor(argv: readonly string[], env: NodeJS.ProcessEnv) {
    const [file = '', ...args] = argv
    this.title = argv.join(' ')
    this.#child = spawn(file, args, {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => this.#heard(line))
    }
    this.#exited = new Promise((resolve) => {
      this.#child.on('error', () => resolve(null))
      this.#child.on('close', (code) => resolve(code))
    })
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.title} did not start`)
    return this.#child.pid
  }

  /** False as soon as it has ended, however. */
  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** All it has printed, for a failure's message. */
  get output(): string {
    return this.#lines.join('\n')
  }

  /** The first line that matches, now or later. Fails when the program ends or time is up before. */
  line(pattern: RegExp, timeoutMs = 60_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const settled = () => {
        clearTimeout(timer)
        this.#watchers.delete(look)
      }
      const look = () => {
        const found = this.#lines.find((line) => pattern.test(line))
        if (found === undefined) return
        settled()
        resolve(found)
      }
      const fail = (why: string) => {
        settled()
        reject(new Error(`${this.title}\n${why} without a line like ${pattern}:\n${this.output}`))
      }
      const timer = setTimeout(() => fail(`ran ${timeoutMs} ms`), timeoutMs)
      this.#watchers.add(look)
      this.#exited.then((code) => fail(`ended with ${code}`))
      look()
    })
  }

  /** No longer listens to what it prints: other processes may hold its output open after its end. */
  releaseOutput(): void {
    this.#child.stdout?.destroy()
    this.#child.stderr?.destroy()
  }

  /** Waits until it has ended by itself; gives its exit code. */
  ended(): Promise<number | null> {
    return this.#exited
  }

  /** Tells it and its children to end, and waits until the program itself has; gives its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    try {
      if (this.isRunning) process.kill(-this.pid, signal)
    } catch (error) {
      // The end of several children is told one by one: of this one it is not told yet.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
    return this.#exited
  }

  #heard(line: string): void {
    this.#lines.push(line)
    for (const look of this.#watchers) look()
  }
}
