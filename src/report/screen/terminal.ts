import { writeSync } from 'node:fs'
import { emitKeypressEvents } from 'node:readline'
import type { ReadStream, WriteStream } from 'node:tty'
import type { Press } from './view.ts'

/** Alternate screen, so that what stood on the terminal is there again afterwards; no cursor. */
const enterScreen = '\u001b[?1049h\u001b[?25l'
const leaveScreen = '\u001b[?25h\u001b[?1049l'

const presses: Readonly<Record<string, Press>> = {
  up: 'up',
  k: 'up',
  down: 'down',
  j: 'down',
  pageup: 'page-up',
  b: 'page-up',
  pagedown: 'page-down',
  space: 'page-down',
  home: 'first',
  end: 'last',
  return: 'open',
  enter: 'open',
  right: 'open',
  escape: 'back',
  left: 'back',
  backspace: 'back',
  l: 'log',
  w: 'why',
  h: 'history',
  q: 'quit',
}

/** What a key of `readline` stands for; undefined for one that does nothing here. */
export function pressOf({ name = '', ctrl = false }: { name?: string; ctrl?: boolean }): Press | undefined {
  if (ctrl) return name === 'c' || name === 'd' ? 'quit' : undefined
  return Object.hasOwn(presses, name) ? presses[name] : undefined
}

/** Standard output when it is a terminal. */
export type Terminal = WriteStream & { readonly fd: number }

export interface ScreenEvents {
  readonly pressed: (key: Press) => void
  readonly resized: () => void
}

/**
 * The terminal while it is ours. However the process ends, short of SIGKILL, the terminal is given back: raw mode off, cursor shown, and
 * what stood there before is there again.
 */
export class TerminalScreen {
  readonly #output: Terminal
  readonly #input: ReadStream | undefined
  readonly #events: ScreenEvents
  #isOurs = false

  /** @param input keys are read from it where it is a terminal. */
  constructor(output: Terminal, input: ReadStream, events: ScreenEvents) {
    this.#output = output
    this.#input = input.isTTY ? input : undefined
    this.#events = events
  }

  /** Takes the terminal. */
  open(): void {
    if (this.#input !== undefined) {
      // A lone Escape differs from the beginning of an arrow key by the silence after it.
      emitKeypressEvents(this.#input)
      this.#input.on('keypress', this.#onKey)
      this.#input.once('end', () => this.#events.pressed('quit'))
      this.#input.on('error', () => this.#events.pressed('quit'))
    }
    this.#output.on('resize', this.#events.resized)
    process.on('exit', this.#restore)
    // Before Node prints the error: on the alternate screen it would be lost.
    process.on('uncaughtExceptionMonitor', this.#restore)
    process.on('SIGTSTP', this.#suspend)
    process.on('SIGCONT', this.#resume)
    this.#take()
  }

  write(text: string): void {
    if (this.#isOurs) this.#output.write(text)
  }

  /** Gives the terminal back. */
  close(): void {
    this.#restore()
    this.#input?.off('keypress', this.#onKey)
    this.#input?.pause()
    this.#output.off('resize', this.#events.resized)
    process.off('exit', this.#restore)
    process.off('uncaughtExceptionMonitor', this.#restore)
    process.off('SIGTSTP', this.#suspend)
    process.off('SIGCONT', this.#resume)
  }

  #take(): void {
    this.#isOurs = true
    this.#input?.setRawMode(true)
    this.#input?.resume()
    this.#output.write(enterScreen)
  }

  readonly #restore = (): void => {
    if (!this.#isOurs) return
    this.#isOurs = false
    try {
      this.#input?.setRawMode(false)
      // Not by the stream: nothing that waits in it is written any more when the process ends.
      writeSync(this.#output.fd, leaveScreen)
    } catch {
      // The terminal is gone.
    }
  }

  readonly #suspend = (): void => {
    this.#restore()
    // SIGTSTP again would come back here.
    process.kill(process.pid, 'SIGSTOP')
  }

  readonly #resume = (): void => {
    if (this.#isOurs) return
    this.#take()
    this.#events.resized()
  }

  readonly #onKey = (_: string | undefined, key: { name?: string; ctrl?: boolean }): void => {
    // In raw mode the terminal does not do that itself.
    if (key.ctrl === true && key.name === 'z') return this.#suspend()
    const pressed = pressOf(key)
    if (pressed !== undefined) this.#events.pressed(pressed)
  }
}
