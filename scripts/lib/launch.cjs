// dist/bin/lib/launch.cjs: loads a program's one file with the code cache that the build has made of it, so that V8 need not compile what a
// start runs. A cache fits one version of V8, whose number is in its name. The program's file has the hash of its contents in its name,
// because V8 compares no more of the source than its length.
'use strict'
const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')
const { Script } = require('node:vm')

/** Compiles a file of this folder as Node would; with the cache, where one is given. */
exports.compile = (file, cachedData) => {
  // The bundler writes ASCII alone: no text is decoded.
  const source = `(function (exports, require, module, __filename, __dirname) {${readFileSync(file, 'latin1')}\n})`
  return new Script(source, { filename: file, cachedData })
}

/** Runs what `compile` has made. Returns its exports. */
exports.evaluate = (file, script) => {
  const module = { exports: {} }
  script.runInThisContext()(module.exports, createRequire(file), module, file, path.dirname(file))
  return module.exports
}

/** Where the code cache of a file is, for the V8 of this process. */
exports.cacheFile = (file) => file.replace(/\.cjs$/, `-${process.versions.v8}.cache`)

/** The exports of a program, by its file's name without the ending. */
exports.load = (name) => {
  const file = path.join(__dirname, `${name}.cjs`)
  return exports.evaluate(file, exports.compile(file, cacheOf(name)))
}

function cacheOf(name) {
  try {
    return readFileSync(exports.cacheFile(path.join(__dirname, `${name}.cjs`)))
  } catch {
    return undefined
  }
}
