import { type ChildProcess, spawn } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'
import { inTime } from './tools.ts'

/** A word as sh reads it back. */
const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`

interface Ended {
  readonly code: number | null
  readonly output: string
}

/** A program on a terminal of its own, made by script(1), whose keys can be pressed and whose picture can be waited for. */
export class PseudoTerminal {
  readonly #end: Promise<Ended>
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
    this.#end = new Promise((resolve) => {
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

  /** Resolves when the program has ended. */
  get ended(): Promise<Ended> {
    return inTime(this.#end, () => `it has not ended: ${JSON.stringify(this.#fresh)}`)
  }

  /**
   * Resolves when what was printed matches, with its escape sequences or without them. Takes no more of it than the match needs: what came
   * with it in one piece is for the next call.
   * @returns what it took.
   */
  until(pattern: RegExp): Promise<string> {
    return inTime(this.#found(pattern), () => `no ${pattern} came: ${JSON.stringify(this.#fresh)}`)
  }

  async #found(pattern: RegExp): Promise<string> {
    while (!isIn(this.#fresh, pattern)) {
      if (this.#script.exitCode !== null)
        throw new Error(`it ended before ${pattern}: ${JSON.stringify(this.#fresh)}`)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    const took = this.#fresh.slice(0, needed(this.#fresh, pattern))
    this.#taken += took.length
    return took
  }

  /** What no call of `until` has taken. */
  get #fresh(): string {
    return this.#output.slice(this.#taken)
  }
  #taken = 0

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

function isIn(text: string, pattern: RegExp): boolean {
  return pattern.test(text) || pattern.test(stripVTControlCharacters(text))
}

/** Characters of the shortest beginning of a text that matches. */
function needed(text: string, pattern: RegExp): number {
  let [short, enough] = [0, text.length]
  while (short < enough) {
    const middle = Math.floor((short + enough) / 2)
    if (isIn(text.slice(0, middle), pattern)) enough = middle
    else short = middle + 1
  }
  return enough
}
