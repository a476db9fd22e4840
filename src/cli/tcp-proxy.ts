#!/usr/bin/env node
import { runForwarder } from '../forward/process.ts'
import { writersDirectory } from '../record/state-directory.ts'
import { type ForwarderWords, readPlainWords } from './plain-words.ts'
import { runToEnd } from './run.ts'

const run = ({ forward, stateDir, reportFd }: ForwarderWords) =>
  runForwarder({ forward, stateDirectory: writersDirectory(stateDir), reportDescriptor: reportFd })

const plain = readPlainWords(process.argv.slice(2))
if (plain !== undefined) void runToEnd('tcp-proxy', () => run(plain))
else void import('./tcp-proxy-command.ts').then(({ runTcpProxy }) => runTcpProxy(run))
