import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import path from 'node:path'
import { errorCode, errorText } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { demandTrust } from '../os/regular-file.ts'
import { ownUid } from '../os/trusted-path.ts'
import type { Outcome } from './outcome.ts'

export interface CommandLimits {
  readonly timeoutMs: number
  /** All the variables that it gets. */
  readonly environment: NodeJS.ProcessEnv
}

/** How much of stderr is kept: its end tells why. */
const longestComplaint = 200

/**
 * Runs a command with a text on its stdin; no shell reads its words. Exit code 0 = delivered, any other = try again, a program that
 * cannot be run = never. One that takes too long is killed with all it has started. Rejects only for words that no system takes (E2BIG, a NUL byte).
 */
export function runAlertCommand(
  [program = '', ...words]: readonly string[],
  input: string,
  { timeoutMs, environment }: CommandLimits,
): Promise<Outcome> {
  const distrust = ownUid() === 0 ? untrusted(program, environment.PATH ?? '') : undefined
  if (distrust !== undefined) return Promise.resolve({ kind: 'refused', why: distrust })
  return new Promise((resolve) => {
    // A process group of its own, so that a script's children end with it.
    const child = spawn(program, words, {
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe'],
      env: environment,
    })
    let complaint = ''
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      killGroup(child.pid)
    }, timeoutMs)
    child.stdin.on('error', () => {
      // A command may end without having read anything.
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-longestComplaint)
    })
    child.on('error', (error) => {
      clearTimeout(timer)
      resolve(startTrouble(error))
    })
    // Not 'close': a grandchild that keeps stderr open has nothing to do with the outcome.
    child.on('exit', (code, signal) => {
      clearTimeout(timer)
      child.stderr.destroy()
      resolve(
        outcomeOf(isLate ? `it took more than ${timeoutMs / 1000} s` : endText(code, signal), complaint),
      )
    })
    child.stdin.end(input)
  })
}

/** As root, only programs run that root alone can change: any other user's would be that user's way to become root. */
function untrusted(program: string, searched: string): string | undefined {
  const file = program.includes('/') ? program : foundIn(searched, program)
  if (file === undefined) return undefined
  try {
    demandTrust(file)
    return undefined
  } catch (error) {
    return `root does not run it: ${errorText(error)}`
  }
}

function foundIn(searched: string, program: string): string | undefined {
  const files = searched.split(path.delimiter).map((folder) => path.join(folder || '.', program))
  return files.find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function startTrouble(error: Error): Outcome {
  const isLasting = ['ENOENT', 'EACCES', 'ENOEXEC', 'ENOTDIR'].includes(errorCode(error) ?? '')
  const why = `it cannot be run: ${errorCode(error) ?? errorText(error)}`
  return isLasting ? { kind: 'refused', why } : { kind: 'retry', why, afterMs: undefined }
}

function endText(code: number | null, signal: NodeJS.Signals | null): string | undefined {
  if (code === 0) return undefined
  return code === null ? `ended by ${signal}` : `exit code ${code}`
}

function outcomeOf(trouble: string | undefined, complaint: string): Outcome {
  if (trouble === undefined) return { kind: 'delivered', pauseMs: 0 }
  const last = oneLine(complaint.trim().split('\n').at(-1) ?? '')
  return { kind: 'retry', why: last === '' ? trouble : `${trouble}: "${last}"`, afterMs: undefined }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}
