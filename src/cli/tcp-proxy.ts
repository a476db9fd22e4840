import { runForwarder } from '../forward/process.ts'
import { writersDirectory } from '../record/usual-directories.ts'
import { type ForwarderWords, readPlainWords } from './plain-words.ts'
import { outputIsLog, runToEnd } from './run.ts'

function run({ forward, stateDir, reportFd }: ForwarderWords): Promise<number> {
  outputIsLog()
  const { directory, note } = writersDirectory(stateDir)
  return runForwarder({ forward, stateDirectory: directory, directoryNote: note, reportDescriptor: reportFd })
}

let isVerbose = false

/** Commander is loaded only here, from outside of the one file that this becomes. */
async function readAndRun(words: readonly string[]): Promise<number> {
  const { readWords } = await import('#tcp-proxy-command')
  const read = await readWords(words)
  isVerbose = read.isVerbose
  return 'meant' in read ? run(read.meant) : read.exitCode
}

/** Runs the forwarder with the words of this process. */
export function start(): Promise<void> {
  const words = process.argv.slice(2)
  const plain = readPlainWords(words)
  return runToEnd(
    'tcp-proxy',
    () => (plain === undefined ? readAndRun(words) : run(plain)),
    () => isVerbose,
  )
}
