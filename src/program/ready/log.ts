import stripAnsi from 'strip-ansi'
import { compileRegex } from '../../config/log-patterns.ts'
import type { StartReport } from '../../process/start-report.ts'
import type { ProgramOutput } from '../output/index.ts'

/** Resolves when the program prints a line in which the expression is found. Colours are taken out of it first. */
export function lineIsPrinted(
  pattern: string,
  output: ProgramOutput,
  signal: AbortSignal,
): Promise<StartReport | undefined> {
  const isFound = compileRegex(pattern)
  return new Promise((resolve) => {
    const end = (report: StartReport | undefined) => {
      forget()
      resolve(report)
    }
    const forget = output.onLine(({ stream, text }) => {
      if (stream !== 'watchdog' && isFound(stripAnsi(text))) end({ ready: true })
    })
    signal.addEventListener('abort', () => end(undefined), { once: true })
  })
}
