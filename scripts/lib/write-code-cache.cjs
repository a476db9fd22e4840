#!/usr/bin/env node
// write-code-cache FILE [words]
//
// Runs a program of dist/bin/lib with these words, and writes what V8 has compiled meanwhile beside it: launch.cjs gives it to the next
// start. What the run prints is of no interest.
'use strict'
const { renameSync, writeFileSync } = require('node:fs')
const path = require('node:path')

const [, , given, ...words] = process.argv
const file = path.resolve(given)
const { cacheFile, compile, evaluate } = require(path.join(path.dirname(file), 'launch.cjs'))
const script = compile(file)
process.on('exit', () => {
  const cache = cacheFile(file)
  writeFileSync(`${cache}.new`, script.createCachedData())
  renameSync(`${cache}.new`, cache)
  process.exitCode = 0
})
process.argv = [process.execPath, file, ...words]
evaluate(file, script).start()
