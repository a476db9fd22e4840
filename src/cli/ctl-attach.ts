/** `proxy-ctl attach`: a person at a program. At one with a terminal every key goes to it; at any other, lines do. */
import type { OrderAnswer } from '../orders/order.ts'
import type { TerminalNews } from '../orders/terminal-orders.ts'
import { printable } from '../os/printable.ts'
import { filled, type Program } from './command.ts'
import { followOrder, type OrderOptions, order, print, subcommand } from './ctl-command.ts'

/** Lines of the past that `attach` begins with. */
const shownBefore = 20

/** ms in which the last answers may come after the end of stdin. */
const lastAnswersMs = 500

/** Ctrl-]: what telnet uses, and hardly a program. */
const detachKey = '\x1d'

/** ms in which keys that are pressed become one order. */
const gatherKeysMs = 15

/** Leaves what a program may have switched on: its own screen, a hidden cursor, colours, the mouse, pasting in brackets. */
const asBefore = '\x1b[?1049l\x1b[?25h\x1b[0m\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l'

export const attachProgram: Program = {
  command: subcommand(
    'attach',
    'Show what a program prints and send it what you type, until Ctrl-C or Ctrl-D; a program with a terminal (pty) gets these keys, too; Ctrl-] leaves it.',
  ).argument('<PROGRAM>', 'a program whose configuration allows input', filled),
  run: async (unit: string, options: OrderOptions) => {
    if (process.stdin.isTTY !== true || process.stdout.isTTY !== true) return await attachLines(unit, options)
    // Says whether it has a terminal, without a trace.
    const asked = await order(options, 'type', { units: [unit] })
    const hasNone = 'error' in asked && asked.error.code === 'no-terminal'
    if ('error' in asked && !hasNone) return await print(asked, options, () => '')
    return hasNone ? await attachLines(unit, options) : await attachTerminal(unit, options)
  },
}

async function attachTerminal(unit: string, options: OrderOptions): Promise<number> {
  const { stdin, stdout, stderr } = process
  const { errorText } = await import('./ctl-output.ts')
  const left = new AbortController()
  const tell = (text: string) => stderr.write(`\r\n» ${unit} ${printable(text)}\r\n`)
  const size = () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 })
  let refusal: string | undefined
  let sending: Promise<unknown> = Promise.resolve()
  /** One after the other, as they were pressed. */
  const give = (what: object) => {
    sending = sending.then(async () => {
      const answer: OrderAnswer = await order(options, 'type', { units: [unit], ...what })
      const problem = 'error' in answer ? errorText(answer.error).trimEnd() : undefined
      // Every key would be refused for the same reason.
      if (problem !== undefined && problem !== refusal) tell(problem)
      refusal = problem
    })
    sending.catch(() => left.abort())
  }
  let keys = ''
  let gathering: NodeJS.Timeout | undefined
  const press = () => {
    gathering = undefined
    if (keys !== '') give({ keys })
    keys = ''
  }
  const typed = (text: string) => {
    const [before = '', after] = text.split(detachKey, 2)
    keys += before
    gathering ??= setTimeout(press, gatherKeysMs)
    if (after === undefined) return
    clearTimeout(gathering)
    press()
    void sending.finally(() => left.abort())
  }
  const resized = () => give({ size: size() })
  const show = (news: unknown) => {
    const told = news as TerminalNews
    if ('note' in told) tell(told.note)
    else stdout.write(told.text)
  }
  stderr.write(`attached to the terminal of ${unit}; Ctrl-] leaves it, all other keys go to the program\r\n`)
  stdin.setRawMode(true)
  stdin.setEncoding('utf8').on('data', typed)
  stdin.once('end', () => left.abort())
  stdout.on('resize', resized)
  try {
    return await followOrder(
      options,
      'follow-terminal',
      { units: [unit], size: size() },
      undefined,
      show,
      left.signal,
    )
  } finally {
    stdin.setRawMode(false)
    stdin.destroy()
    stdout.off('resize', resized)
    stdout.write(asBefore)
    stderr.write(`\r\nleft ${unit}; it goes on\r\n`)
  }
}

async function attachLines(unit: string, options: OrderOptions): Promise<number> {
  const { createInterface } = await import('node:readline')
  const { errorText } = await import('./ctl-output.ts')
  const left = new AbortController()
  const typed = createInterface({ input: process.stdin })
  // One after the other, as they were typed.
  let sending: Promise<unknown> = Promise.resolve()
  typed.on('line', (text) => {
    sending = sending.then(async () => {
      const answer = await order(options, 'send', { units: [unit], text, quietMs: 0 })
      if ('error' in answer) process.stderr.write(errorText(answer.error))
    })
    sending.catch(() => left.abort())
  })
  typed.once('close', () => {
    void sending.finally(() => setTimeout(() => left.abort(), lastAnswersMs))
  })
  const show = (line: unknown) => {
    const { text, stream } = line as { readonly text: string; readonly stream: string }
    // What the watchdog says is not among what the program prints.
    if (stream === 'watchdog') process.stderr.write(`» ${unit} ${printable(text)}\n`)
    else process.stdout.write(`${printable(text)}\n`)
  }
  try {
    return await followOrder(
      options,
      'follow-logs',
      { units: [unit], tail: shownBefore },
      undefined,
      show,
      left.signal,
    )
  } finally {
    typed.close()
    process.stdin.destroy()
  }
}
