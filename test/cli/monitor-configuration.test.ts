import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { starterFile } from '../../src/config/starter.ts'
import { commandFile, temporaryDirectory } from '../support/children.ts'
import { skipFor } from '../support/tools.ts'

/** Runs proxy-monitor in a folder of its own. */
function inFolder(t: TestContext) {
  const folder = temporaryDirectory(t)
  const home = path.join(folder, 'home')
  mkdirSync(path.join(home, '.config', 'port-watchdog'), { recursive: true })
  const { XDG_CONFIG_HOME: _, ...others } = process.env
  const run = (...words: string[]) => {
    const env = { ...others, HOME: home }
    return spawnSync(process.execPath, [commandFile('proxy-monitor'), ...words], {
      cwd: folder,
      env,
      encoding: 'utf8',
    })
  }
  return { folder, home, run }
}

describe('proxy-monitor --init', () => {
  it('writes a starter file that is found by itself, and never overwrites one', (t) => {
    const { folder, run } = inFolder(t)
    const first = run('--init')
    assert.deepEqual([first.status, first.stderr], [0, ''])
    const file = path.join(folder, 'port-watchdog.yaml')
    assert.equal(readFileSync(file, 'utf8'), starterFile)
    const check = run('--check')
    assert.equal(check.status, 0)
    assert.match(check.stdout, new RegExp(`^Using the configuration ${file}\n${file} is valid: `))
    writeFileSync(file, 'forwards: []\n')
    const second = run('--init')
    assert.equal(second.status, 73)
    assert.match(second.stderr, /^proxy-monitor: port-watchdog\.yaml exists and is left as it is; .*\n$/)
    assert.equal(readFileSync(file, 'utf8'), 'forwards: []\n')
    assert.equal(run('--init', 'other.yaml').status, 0)
  })
})

describe('proxy-monitor --gate token', () => {
  it('puts a login in front of every default forward', (t) => {
    const { run } = inFolder(t)
    const { stdout, status } = run('--check', '--gate', 'token')
    assert.equal(status, 0)
    const names = ['inspector: ', 'inspector-sandbox: ', 'inspector-proxy: ']
    assert.deepEqual(
      stdout
        .split('\n')
        .flatMap((line, at, all) => (names.some((name) => line.trim().startsWith(name)) ? all[at + 1] : [])),
      names.map(() => '    gate: token'),
    )
  })

  it('is refused beside a configuration file, named or found, with the line to write', (t) => {
    const { folder, run } = inFolder(t)
    const file = path.join(folder, 'port-watchdog.yaml')
    writeFileSync(file, 'forwards: [{ name: web, listen: 7000, target: localhost:7001 }]\n')
    for (const words of [[], ['--config', file], ['--check'], ['--check', file]]) {
      const { stderr, status } = run('--gate', 'token', ...words)
      assert.deepEqual(
        [status, stderr],
        [
          64,
          `proxy-monitor: --gate token works only without a configuration file, and ${file} is used; ` +
            `write gate: token in ${file} for each forward\n`,
        ],
      )
    }
  })

  it('knows one kind', (t) => {
    const { stderr, status } = inFolder(t).run('--gate', 'secret')
    assert.equal(status, 64)
    assert.match(stderr, /unknown gate "secret"; the only kind is "token"/)
  })
})

describe('The configuration that nobody names', () => {
  it('is the current folder’s, then the user’s own', (t) => {
    const { folder, home, run } = inFolder(t)
    assert.match(run('--check').stdout, /^without a file/)
    const own = path.join(home, '.config', 'port-watchdog', 'port-watchdog.yaml')
    writeFileSync(own, 'forwards: []\n')
    assert.ok(run('--check').stdout.includes(`${own} is valid`))
    writeFileSync(path.join(folder, 'port-watchdog.yaml'), 'forwards: []\n')
    assert.match(run('--check').stdout, new RegExp(`^Using the configuration ${folder}/port-watchdog\\.yaml`))
  })

  it('is not one that another user has put into the current folder', {
    skip: skipFor(process.getuid?.() !== 0 && 'only root can give files to another user'),
  }, (t) => {
    const { folder, run } = inFolder(t)
    const planted = path.join(folder, 'port-watchdog.yaml')
    writeFileSync(planted, 'forwards: []\n')
    chownSync(planted, 65_534, 65_534)
    const { status, stdout, stderr } = run('--check')
    assert.equal(status, 0)
    assert.match(stdout, /^without a file/)
    assert.match(stderr, /port-watchdog\.yaml is not used: .* belongs to another user \(uid 65534\)\n$/)
  })
})

describe('proxy-monitor --check', () => {
  it('takes the file as its own word, too', (t) => {
    const { folder, run } = inFolder(t)
    writeFileSync(path.join(folder, 'x.yaml'), 'forwards: []\n')
    assert.match(run('--check', 'x.yaml').stdout, /^\/.*\/x\.yaml is valid/)
    assert.match(run('--config', 'x.yaml', '--check').stdout, /^\/.*\/x\.yaml is valid/)
    assert.equal(run('--config', 'x.yaml', '--check', 'y.yaml').status, 64)
  })

  it('lists what a file means: gate, allow, TLS, limits, restarts, alerts', (t) => {
    const { folder, run } = inFolder(t)
    writeFileSync(
      path.join(folder, 'x.yaml'),
      `
limits: { memory: 256M, cpu: 50%, action: restart }
forwards:
  - { name: web, listen: 8080, target: "localhost:3000", gate: token, allow: [10.0.0.0/8, "fd00::/8"],
      tlsSelfSigned: true, idleTimeout: 90s, restart: { backoff: 2s } }
alerts:
  reminder: 1h
  channels:
    - { type: webhook, name: pager, url: "https://a.b/geheim" }
    - { type: command, command: [notify-send, geheim] }
  ping: { url: "https://a.b/geheim" }
`,
    )
    const { stdout } = run('--check', 'x.yaml')
    for (const line of [
      '  web: port 8080 to localhost:3000',
      '    allow: 10.0.0.0/8, fd00::/8',
      '    gate: token',
      '    tlsSelfSigned: true',
      '    idleTimeout: 1 min 30 s',
      '    limits: memory 256 MiB, cpu 50%; beyond: restart',
      '    restart: backoff 2.0 s',
      '  alerts to pager: webhook, not signed',
      '  alerts to command: runs notify-send',
      '  reminder: 1 h',
      '  ping: every 1 min',
    ]) {
      assert.ok(stdout.includes(`${line}\n`), `${line} is not in:\n${stdout}`)
    }
    assert.doesNotMatch(stdout, /geheim/)
  })

  it('tells every mistake with its line', (t) => {
    const { folder, run } = inFolder(t)
    const forwards = Array.from(
      { length: 7 },
      (_, index) => `  - { name: "bad name", listen: ${70_000 + index} }`,
    )
    writeFileSync(path.join(folder, 'x.yaml'), `forwards:\n${forwards.join('\n')}\n`)
    const { status, stdout, stderr } = run('--check', 'x.yaml')
    assert.deepEqual([status, stdout], [78, ''])
    for (const index of forwards.keys()) {
      for (const key of ['name', 'listen', 'has no target'])
        assert.match(
          stderr,
          new RegExp(`^proxy-monitor: /.*/x\\.yaml: line ${index + 2}: forwards\\[${index}\\].*${key}`, 'm'),
        )
    }
  })
})

describe('proxy-monitor --check of programs', () => {
  it('names what a program will not find, and every mistake beside one with a template', (t) => {
    const { folder, run } = inFolder(t)
    const file = path.join(folder, 'port-watchdog.yaml')
    writeFileSync(
      file,
      `programs:
  - { name: web, command: [no-such-program], envFile: gone.env, actions: { test: { command: [./no-test] } } }
  - { name: api, command: [node, -v], cwd: nowhere }
`,
    )
    const warned = run('--check')
    assert.equal(warned.status, 0)
    assert.deepEqual(warned.stderr.split('\n'), [
      `proxy-monitor: warning: web: its file of variables ${path.join(folder, 'gone.env')} cannot be read`,
      'proxy-monitor: warning: web: no-such-program was not found; is it in PATH?',
      `proxy-monitor: warning: web: ${path.join(folder, 'no-test')} cannot be run: it, or the interpreter in its first line, does not exist`,
      `proxy-monitor: warning: api: its folder ${path.join(folder, 'nowhere')} does not exist; make it, or correct cwd`,
      '',
    ])
    writeFileSync(
      file,
      `programs:
  - { name: web, template: vitte }
  - { name: api, comand: [node, -v] }
  - { name: api, command: [node, -v], autostart: maybe }
`,
    )
    const wrong = run('--check')
    assert.equal(wrong.status, 78)
    assert.match(wrong.stderr, /line 2: .*there is no template "vitte"/)
    assert.match(wrong.stderr, /line 3: .*unknown key "comand" \(did you mean command\?\)/)
    assert.match(wrong.stderr, /line 4: .*autostart must be true or false/)
    assert.doesNotMatch(wrong.stderr, /programs\[0\] has no command/)
  })
})
