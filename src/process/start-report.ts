import { closeSync, writeSync } from 'node:fs'
import type { Readable } from 'node:stream'
import type { ProcessSummary } from './summary.ts'

/**
 * What a process tells the one that started it, as JSON on one line. `code` is the system's, such as `EMFILE`, when its error is why.
 * `holder`: who holds the port that it was to listen on; `message` does not name it.
 */
export type StartReport =
  | { readonly ready: true }
  | {
      readonly ready: false
      readonly message: string
      readonly exitCode: number
      readonly code?: string
      readonly holder?: ProcessSummary
    }

/** Writes the report of this process, then closes its descriptor. Undefined = nobody wants one. */
export function sendStartReport(descriptor: number | undefined, report: StartReport): void {
  if (descriptor === undefined) return
  try {
    writeSync(descriptor, `${JSON.stringify(report)}\n`)
    closeSync(descriptor)
  } catch {
    // Whoever started this process is gone already; the forward is wanted all the same.
  }
}

/** Reads the report of a process that was started. Undefined when it ended, or closed the descriptor, without one. */
export function readStartReport(stream: Readable): Promise<StartReport | undefined> {
  return new Promise((resolve) => {
    let text = ''
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      text += chunk
    })
    stream.on('error', () => resolve(parse(text)))
    stream.on('close', () => resolve(parse(text)))
  })
}

function parse(line: string): StartReport | undefined {
  try {
    return JSON.parse(line) as StartReport
  } catch {
    return undefined
  }
}
