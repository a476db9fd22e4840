import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'vitest'
import { checkout, inTime } from './tools.ts'

/** A private directory of this test, gone when it ends. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'pw-'))
  t.onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** The file of a command of ours. */
export function commandFile(name: string): string {
  return path.join(checkout, 'dist', 'bin', `${name}.cjs`)
}

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command under way, whose output can be waited for. */
export class RunningCommand {
  readonly child: ChildProcess
  readonly ended: Promise<Ran>
  #stdout = ''
  #stderr = ''
  #waiting: (() => void)[] = []

  constructor(program: string, words: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    const env = { ...process.env, ...environment }
    this.child = spawn(process.execPath, [program, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout
      ?.setEncoding('utf8')
      .on('data', (text: string) => this.#tell(() => (this.#stdout += text)))
    this.child.stderr
      ?.setEncoding('utf8')
      .on('data', (text: string) => this.#tell(() => (this.#stderr += text)))
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code) => {
        this.#tell(() => {})
        resolve({ code, stdout: this.#stdout, stderr: this.#stderr })
      })
    })
  }

  get stdout(): string {
    return this.#stdout
  }

  /** Resolves as soon as the output so far satisfies the question; rejects when the command ends before that. */
  until(question: (stdout: string) => boolean): Promise<string> {
    return inTime(this.#satisfied(question), () => `it said: ${this.#stdout}${this.#stderr}`)
  }

  async #satisfied(question: (stdout: string) => boolean): Promise<string> {
    while (!question(this.#stdout)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended before: ${this.#stdout}${this.#stderr}`)
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    return this.#stdout
  }

  #tell(change: () => void): void {
    change()
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** Runs a command of ours to its end. */
export function run(
  name: string,
  words: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Ran> {
  return new RunningCommand(commandFile(name), words, environment).ended
}
