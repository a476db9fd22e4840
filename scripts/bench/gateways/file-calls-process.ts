// Loaded before a gateway (`node --import`): counts the calls of Node's file functions, and for each how often it got which file. At SIGUSR2 it
// writes the counts, as JSON, to the file that FILE_CALLS names.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const file = process.env.FILE_CALLS ?? ''
const write = fs.writeFileSync
const counts: Record<string, number> = {}

type Anything = (...words: unknown[]) => unknown

/** Functions that read, look or write; what works on a descriptor was opened with one of them. */
const watched =
  /^(access|exists|lstat|open|opendir|readdir|readFile|readlink|realpath|rename|stat|statfs|writeFile|appendFile)(Sync)?$/

function count(of: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(of)) {
    if (typeof value !== 'function' || !watched.test(name)) continue
    const real = value as Anything
    of[name] = Object.assign((...words: unknown[]) => {
      const key = `${name.replace(/Sync$/, '')} ${String(words[0])}`
      counts[key] = (counts[key] ?? 0) + 1
      return real(...words)
    }, real)
  }
}

count(fs as unknown as Record<string, unknown>)
count(fs.promises as unknown as Record<string, unknown>)
syncBuiltinESMExports()

process.on('SIGUSR2', () => write(file, JSON.stringify(counts)))
