#!/usr/bin/env node
import { runForwarder } from '../forward/process.ts'
import { writersDirectory } from '../record/usual-directories.ts'
import { type ForwarderWords, readPlainWords } from './plain-words.ts'
import { outputIsLog, runToEnd } from './run.ts'

const run = ({ forward, stateDir, reportFd }: ForwarderWords) => {
  outputIsLog()
  const { directory, note } = writersDirectory(stateDir)
  return runForwarder({ forward, stateDirectory: directory, directoryNote: note, reportDescriptor: reportFd })
}

const plain = readPlainWords(process.argv.slice(2))
if (plain !== undefined) void runToEnd('tcp-proxy', () => run(plain))
else void import('./tcp-proxy-command.ts').then(({ runTcpProxy }) => runTcpProxy(run))
