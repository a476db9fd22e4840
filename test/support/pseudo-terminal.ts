import { type ChildProcess, spawn } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'

/** A word as sh reads it back. */
const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`

/** A program on a terminal of its own, made by script(1), whose keys can be pressed and whose picture can be waited for. */
export class PseudoTerminal {
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>
  readonly #script: ChildProcess
  #output = ''
  #waiting: (() => void)[] = []

  /**
   * @param argv the program; its PID is printed first, as `PID=4242`.
   * @param size.columns 0 = a terminal of no size.
   * @param after a line for the shell when the program has ended.
   */
  constructor(
    argv: readonly string[],
    { columns = 100, rows = 30, after = '', environment = {} as NodeJS.ProcessEnv } = {},
  ) {
    const program = `sh -c 'echo PID=$$; exec "$@"' sh ${argv.map(quoted).join(' ')}`
    const line = `stty cols ${columns} rows ${rows}; ${program}; code=$?; ${after || ':'}; exit $code`
    this.#script = spawn('script', ['-qefc', line, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', ...environment },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#script.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text
      this.#wake()
    })
    this.ended = new Promise((resolve) => {
      this.#script.on('close', (code) => {
        this.#wake()
        resolve({ code, output: this.#output })
      })
    })
  }

  get pid(): number {
    return Number(/PID=(\d+)/.exec(this.#output)?.[1])
  }

  press(keys: string): void {
    this.#script.stdin?.write(keys)
  }

  /** Resolves when what was printed since the last call matches, with its escape sequences or without them. */
  async until(pattern: RegExp): Promise<string> {
    const from = this.#seen
    for (;;) {
      const fresh = this.#output.slice(from)
      if (pattern.test(fresh) || pattern.test(stripVTControlCharacters(fresh))) {
        this.#seen = this.#output.length
        return fresh
      }
      if (this.#script.exitCode !== null)
        throw new Error(`it ended before ${pattern}: ${JSON.stringify(fresh)}`)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }
  #seen = 0

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
