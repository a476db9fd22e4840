// What surrounds a command is not as it should be: no home, no working folder, no room for its output, an empty path.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it } from 'vitest'
import { healthyAs, startMonitor } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { askThrough, command, echoServer, withWatched } from '../support/watched.ts'

const readers = ['proxy-status', 'proxy-log']

function inFolder(use: (folder: string) => void): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'pw-around-'))
  try {
    use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs words of a shell, with "$@" for a command of this project. */
function shell(script: string, argv: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  return spawnSync('sh', ['-c', script, 'sh', ...argv], { encoding: 'utf8', env })
}

describe('A command whose output cannot be written', () => {
  for (const words of [['proxy-status'], ['proxy-status', '--json'], ['proxy-log']]) {
    it(`says so and fails: ${words.join(' ')}`, (t) => {
      if (!existsSync('/dev/full')) return t.skip('this system has no /dev/full')
      inFolder((folder) => {
        shell('printf "2026-11-26 10:00:00.000+00:00 • x\\n" >"$1"', [path.join(folder, 'proxy_monitor.log')])
        const [name = '', ...rest] = words
        const { status, stderr } = shell('"$@" >/dev/full', [
          ...command(name, ...rest),
          '--state-dir',
          folder,
        ])
        assert.equal(status, 74, stderr)
        assert.match(stderr, /^proxy-\w+: the output cannot be written: .*ENOSPC.*\n$/)
      })
    })
  }

  it('is quiet when its reader has gone', () =>
    inFolder((folder) => {
      const argv = [...command('proxy-status', '--json'), '--state-dir', folder]
      const { stderr, stdout } = shell('{ "$@"; echo "$?" >&2; } | true', argv)
      assert.deepEqual([stdout, stderr], ['', '3\n'])
    }))
})

describe('An empty path or name, as from a variable that is not set', () => {
  const cases = [
    ...['proxy-status', 'proxy-log', 'proxy-monitor', 'doctor'].map((name) => [name, '--state-dir']),
    ['proxy-monitor', '--config'],
    ['proxy-monitor', '--test-alert'],
    ['tcp-proxy', '21001', 'localhost', '21002', '--state-dir'],
    ['tcp-proxy', '21001', 'localhost', '21002', '--access-log'],
    ['tcp-proxy', '21001', 'localhost', '21002', '--tls-cert'],
  ]
  for (const [name = '', ...words] of cases) {
    it(`is a mistake: ${name} ${words.at(-1)}`, () => {
      const argv = name === 'doctor' ? command('port-watchdog', 'doctor', ...words) : command(name, ...words)
      const { status, stderr } = shell('"$@" ""', argv)
      assert.equal(status, 64, stderr)
      assert.equal(stderr.trim().split('\n').length, 1)
    })
  }
})

describe('A working folder that was removed', () => {
  const run = (argv: readonly string[]) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'pw-gone-'))
    return shell('cd "$0" && rmdir "$0" && "$@"'.replaceAll('$0', folder), argv)
  }
  it('does not matter to whole paths', () =>
    inFolder((folder) => {
      for (const name of readers) {
        const { status, stderr } = run([...command(name), '--state-dir', folder])
        assert.ok(status === 0 || status === 3, `${name}: ${stderr}`)
      }
    }))

  it('is named where a path leads nowhere', () => {
    for (const name of [...readers, 'proxy-monitor']) {
      const { status, stderr } = run([...command(name), '--state-dir', 'here'])
      assert.equal(status, 66, stderr)
      assert.match(stderr, /the working folder was removed/)
    }
  })

  it('does not keep a monitor from watching, nor a forwarder from forwarding', () =>
    withWatched(async (watched) => {
      const echo = await echoServer()
      const [port, alone] = [await freePort(), await freePort()]
      const inRemovedFolder = (argv: readonly string[]) => [
        'sh',
        '-c',
        'cd "$(mktemp -d)" && rmdir "$PWD" && exec "$@"',
        'sh',
        ...argv,
      ]
      const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
      const monitor = await startMonitor(watched, { forwards, under: inRemovedFolder })
      const { pid } = await healthyAs(watched, port)
      process.kill(pid, 'SIGKILL')
      await healthyAs(watched, port, pid)
      assert.equal(await askThrough(port), 'hello')
      assert.equal(await monitor.stop(), 0)
      const place = ['--state-dir', watched.directory]
      const words = command('tcp-proxy', String(alone), 'localhost', String(echo.port), ...place)
      await watched.adopt(new Resident(inRemovedFolder(words), {})).line(/Listening/)
      assert.equal(await askThrough(alone), 'hello')
      await echo.close()
    }))

  it('is named when a monitor looks for its configuration by a relative path', () => {
    for (const more of [[], ['--check'], ['--test-alert']]) {
      const { status, stderr } = run([...command('proxy-monitor'), '--config', 'c.yaml', ...more])
      assert.equal(status, 66, stderr)
      assert.match(stderr, /^proxy-monitor: [^\n]*folder was removed[^\n]*\n$/)
    }
  })
})

describe('A user without a home and without an entry in the user database', () => {
  for (const name of readers) {
    it(`gets an answer from ${name}`, (t) => {
      if (process.getuid?.() !== 0) return t.skip('only root can become another user')
      const folder = mkdtempSync(path.join(tmpdir(), 'pw-home-'))
      mkdirSync(path.join(folder, 'tmp'), { mode: 0o777 })
      const words = ['--reuid', '54321', '--regid', '54321', '--clear-groups', 'env', '-i', `TMPDIR=/tmp`]
      const { status, stderr, stdout } = spawnSync('setpriv', [...words, ...command(name)], {
        encoding: 'utf8',
      })
      rmSync(folder, { recursive: true })
      if (/EACCES|permission denied/i.test(stderr) && !/port-watchdog-54321/.test(stderr)) {
        return t.skip(`another user cannot run this checkout (${stderr.trim()})`)
      }
      assert.notEqual(status, 70, stderr)
      assert.match(stdout + stderr, /port-watchdog-54321/)
    })
  }
})

it('Without /proc an answer is a proof of life, and nothing is called gone', (t) => {
  const probe = spawnSync('unshare', [
    '--mount',
    'sh',
    '-c',
    'while umount -l /proc; do :; done 2>/dev/null; test ! -e /proc/self',
  ])
  if (probe.status !== 0) return t.skip('this user cannot unmount /proc in a namespace of its own')
  inFolder((folder) => {
    const configuration = path.join(folder, 'c.json')
    const script = `
      while umount -l /proc; do :; done 2>/dev/null
      echo '{"interval":"1s","forwards":[{"name":"web","listen":23451,"target":"127.0.0.1:23452"}]}' >${configuration}
      ${command('proxy-monitor').join(' ')} --config ${configuration} --state-dir ${folder} >${folder}/out 2>&1 & monitor=$!
      until grep -q 'web started successfully' ${folder}/out; do kill -0 $monitor || exit 3; sleep 0.2; done
      ${command('proxy-status').join(' ')} --json --state-dir ${folder}
      echo "code $?"
      first=$(head -1 ${folder}/tcp_proxy_23451.pid)
      kill -9 "$first"
      until grep -q 'is not running' ${folder}/out; do kill -0 $monitor || exit 4; sleep 0.2; done
      until now=$(head -1 ${folder}/tcp_proxy_23451.pid) && [ "$now" != "$first" ]; do kill -0 $monitor || exit 5; sleep 0.2; done 2>/dev/null
      ${command('proxy-status').join(' ')} --wait running --timeout 30s --state-dir ${folder} >/dev/null 2>&1
      echo "code $?"
      kill -9 $monitor; wait $monitor
      ${command('proxy-status').join(' ')} --json --state-dir ${folder} >${folder}/after
      last=$(head -1 ${folder}/tcp_proxy_23451.pid)
      kill $last
      # It must not write into the folder any more when that is removed.
      while kill -0 $last 2>/dev/null; do sleep 0.1; done`
    const { stdout, stderr } = spawnSync('unshare', ['--mount', 'bash', '-c', script], {
      encoding: 'utf8',
      timeout: 120_000,
    })
    const [json = '', code, again] = stdout.split('code ')
    assert.ok(json !== '', stderr)
    const report = JSON.parse(json)
    assert.deepEqual([report.monitor.state, report.forwards[0].state, code], ['RUNNING', 'waiting', '0\n'])
    assert.equal(again, '0\n', 'a killed forwarder is back')
  })
})
