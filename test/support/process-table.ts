import { closeSync, openSync, readdirSync, readSync } from 'node:fs'

const buffer = Buffer.alloc(1 << 16)

/**
 * PIDs of the processes whose command line has each of these texts within its first 64 KiB, its words separated by NUL; zombies, which have
 * none, are left out. Read from /proc: `ps` takes eight times as long, and every test asks this in the end.
 */
export function processesWith(...texts: readonly string[]): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      const line = commandLine(pid)
      return texts.every((text) => line.includes(text))
    })
}

/** Empty when the process has ended since it was listed. */
function commandLine(pid: number): string {
  try {
    const file = openSync(`/proc/${pid}/cmdline`, 'r')
    try {
      return buffer.toString('utf8', 0, readSync(file, buffer))
    } finally {
      closeSync(file)
    }
  } catch {
    return ''
  }
}
