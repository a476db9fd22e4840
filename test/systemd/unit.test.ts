import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { distrustOf } from '../../src/os/trusted-path.ts'
import { temporaryDirectory } from '../support/children.ts'
import { Resident } from '../support/resident.ts'
import { checkout, run, skipFor } from '../support/tools.ts'
import { command, withWatched } from '../support/watched.ts'

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0
const skip = skipFor(!hasSystemd && 'systemd is not installed')
const asRoot = {
  skip: skipFor(process.getuid?.() !== 0 && 'only root installs a service of the system'),
}

/** Where the installer puts things in a test. */
function placesIn(folder: string): string[] {
  const places = { UNIT_DIR: 'units', TARGET_DIR: 'targets', PROGRAM_DIR: 'program' }
  return Object.entries(places).map(([name, place]) => `PORT_WATCHDOG_${name}=${join(folder, place)}`)
}

describe('scripts/install-systemd', { skip }, () => {
  for (const scope of ['system', 'user']) {
    it(`puts a unit of the ${scope} in place that verifies, and takes it away again`, {
      timeout: 240_000,
    }, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'pw-units-'))
      try {
        const install = (...words: string[]) => {
          const scoped = scope === 'user' ? ['--user', ...words] : words
          const installer = join(checkout, 'scripts', 'install-systemd')
          return run(['env', ...placesIn(folder), installer, '--no-start', ...scoped], 200_000)
        }
        const installed = await install()
        assert.equal(installed.code, 0, installed.stderr)
        const unit = readFileSync(join(folder, 'units', 'proxy-monitor.service'), 'utf8')
        assert.ok(/^ExecStart=\/\S+ \/\S+\/dist\/bin\/proxy-monitor\.cjs$/m.test(unit))
        assert.equal((await install('--remove')).code, 0)
        assert.deepEqual(readdirSync(folder), ['units'])
        assert.deepEqual(readdirSync(join(folder, 'units')), [])
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  }

  it('puts units in place that hold ports, and takes them away again', { timeout: 240_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pw-units-'))
    try {
      const [units, targets] = [join(folder, 'units'), join(folder, 'targets')]
      const where = placesIn(folder)
      const install = async (...words: string[]) => {
        const installer = join(checkout, 'scripts', 'install-systemd')
        const { code, stderr } = await run(['env', ...where, installer, '--no-start', ...words], 200_000)
        assert.equal(code, 0, stderr)
      }
      const target = (port: number) => readFileSync(join(targets, `${port}.env`), 'utf8')
      await install('--sockets', '8080=10.0.0.5:80', '9000=unix:/run/app.sock', '9001=[2001:db8::1]:1')
      assert.equal(target(8080), 'TARGET=10.0.0.5 80\n')
      assert.equal(target(9000), 'TARGET=unix:/run/app.sock\n')
      assert.equal(target(9001), 'TARGET=2001:db8::1 1\n')
      const forward = readFileSync(join(units, 'port-watchdog-forward@.service'), 'utf8')
      assert.ok(/^ExecStart=\/\S+ \/\S+\/dist\/bin\/tcp-proxy\.cjs %i \$TARGET \$OPTIONS$/m.test(forward))
      // What its owner has written stays.
      writeFileSync(join(targets, '8080.env'), 'OPTIONS=--drain 0\nTARGET=10.0.0.5 80\n')
      await install('--sockets', '8080=10.0.0.6:80')
      assert.equal(target(8080), 'OPTIONS=--drain 0\nTARGET=10.0.0.6 80\n')
      await install('--remove', '--sockets', '9000')
      assert.deepEqual(readdirSync(targets), ['8080.env', '9001.env'])
      await install('--remove')
      assert.deepEqual(readdirSync(units), [])
      assert.deepEqual(readdirSync(folder), ['units'])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('writes a path with spaces and signs so that systemd reads the same path', {
    timeout: 240_000,
  }, async (t) => {
    const folder = temporaryDirectory(t)
    const strange = join(folder, 'a b&c|d%h"$e')
    symlinkSync(checkout, strange)
    const installer = join(strange, 'scripts', 'install-systemd')
    const installed = await run(['env', ...placesIn(folder), installer, '--user', '--no-start'], 200_000)
    assert.equal(installed.code, 0, installed.stderr)
    const unit = readFileSync(join(folder, 'units', 'proxy-monitor.service'), 'utf8')
    const [, path] = /^ExecStart=\S+ "(.*)"$/m.exec(unit) ?? []
    assert.equal(
      path?.replaceAll('%%', '%').replaceAll('$$', '$').replaceAll(/\\(.)/g, '$1'),
      join(strange, 'dist/bin/proxy-monitor.cjs'),
    )
    assert.doesNotMatch(path ?? '', /(^|[^%])%h/)
  })

  it(
    'runs a service of the system from a copy that root owns, and says with what rights it reads the original',
    asRoot,
    async (t) => {
      const folder = temporaryDirectory(t)
      const theirs = join(folder, 'theirs')
      mkdirSync(theirs)
      chmodSync(folder, 0o755)
      // As an installed package: built, and without tsconfig.json.
      for (const name of ['dist', 'scripts', 'systemd'])
        cpSync(join(checkout, name), join(theirs, name), { recursive: true })
      for (const name of ['package.json', 'LICENSE']) cpSync(join(checkout, name), join(theirs, name))
      symlinkSync(join(checkout, 'node_modules'), join(theirs, 'node_modules'))
      chownSync(theirs, 65_534, 65_534)
      const installer = join(theirs, 'scripts', 'install-systemd')
      const install = (...words: string[]) =>
        run(['env', ...placesIn(folder), installer, '--no-start', ...words], 200_000)
      const installed = await install()
      assert.equal(installed.code, 0, installed.stderr)
      assert.match(installed.stderr, /belongs to uid 65534; building it as that user/)
      const program = join(folder, 'program')
      const unit = readFileSync(join(folder, 'units', 'proxy-monitor.service'), 'utf8')
      assert.ok(unit.includes(`${program}/dist/bin/proxy-monitor.cjs`), unit)
      assert.match(unit, /^DynamicUser=yes$/m)
      assert.equal(distrustOf(join(program, 'dist/bin/proxy-monitor.cjs')), undefined)
      const check = await run([process.execPath, join(program, 'dist/bin/proxy-monitor.cjs'), '--check'])
      assert.equal(check.code, 0, check.stderr)

      const configuration = join(folder, 'c d.yaml')
      writeFileSync(configuration, 'forwards: []\n', { mode: 0o600 })
      const unreadable = await install('--config', configuration)
      assert.equal(unreadable.code, 78)
      assert.match(unreadable.stderr, /could not read .*install -D -m 644/)
      chmodSync(configuration, 0o644)
      chownSync(configuration, 65_534, 65_534)
      assert.match((await install('--config', configuration)).stderr, /belongs to another user .*chown 0/)
      assert.equal((await install('--remove')).code, 0)
      assert.ok(!existsSync(program))
    },
  )

  it('says once that no manager runs, and speaks of no unit that was never there', {
    timeout: 240_000,
  }, async (t) => {
    const folder = temporaryDirectory(t)
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    // As systemctl answers where no manager runs.
    const offline = '#!/bin/sh\necho "System has not been booted with systemd as init system" >&2\nexit 1\n'
    writeFileSync(join(bin, 'systemctl'), offline, { mode: 0o755 })
    const installer = join(checkout, 'scripts', 'install-systemd')
    const install = (...words: string[]) => {
      const path = `PATH=${bin}:${process.env.PATH}`
      return run(['env', path, ...placesIn(folder), installer, '--user', ...words], 200_000)
    }
    for (const words of [[], ['--sockets', '8080=10.0.0.5:80', '9000=10.0.0.5:90']]) {
      const installed = await install(...words)
      assert.equal(installed.code, 0, installed.stderr)
      const said = installed.stdout + installed.stderr
      assert.equal(said.split('No systemd manager runs here').length - 1, 1, said)
      assert.match(said, /daemon-reload && .*enable --now proxy-monitor\.service/)
      assert.doesNotMatch(said, /later:|not been booted/)
    }
    const removed = await install('--remove')
    assert.equal(removed.code, 0, removed.stderr)
    assert.doesNotMatch(removed.stdout + removed.stderr, /later:|systemctl stop|not been booted/)
  })

  it('refuses words it does not know', async () => {
    for (const words of [
      ['--bad'],
      ['--sockets'],
      ['--sockets', '0'],
      ['--sockets', '80=nowhere'],
      ['--sockets', '80;x'],
    ]) {
      assert.equal((await run([join(checkout, 'scripts', 'install-systemd'), ...words])).code, 64)
    }
  })
})

/** 0 is a service that may do nothing, 10 one that may do everything. */
const mostExposure = { system: 2, user: 7 }

describe('The systemd units', { skip }, () => {
  it('are clean to systemd-analyze verify, and harden what they run', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pw-units-'))
    try {
      const names = [
        'proxy-monitor.service',
        'port-watchdog-forward@.service',
        'port-watchdog-forward@.socket',
      ]
      for (const name of names) copyFileSync(join(checkout, 'systemd', name), join(folder, name))
      const units = names.map((name) => join(folder, name.replace('@', '@6274')))
      const verified = await run(['systemd-analyze', 'verify', ...units])
      assert.equal(verified.stdout + verified.stderr, '')
      assert.equal(verified.code, 0)
      for (const scope of ['system', 'user'] as const) {
        for (const name of names.filter((one) => one.endsWith('.service'))) {
          const file = join(folder, scope, name)
          mkdirSync(join(folder, scope), { recursive: true })
          copyFileSync(join(checkout, 'systemd', scope === 'user' ? join('user', name) : name), file)
          const words = [`--${scope}`, '--offline=true', '--no-pager', file]
          const { stdout } = await run([
            'env',
            `XDG_RUNTIME_DIR=${folder}`,
            'systemd-analyze',
            'security',
            ...words,
          ])
          const exposure = Number(/Overall exposure level for .*: ([\d.]+)/.exec(stdout)?.[1])
          assert.ok(exposure <= mostExposure[scope], `${name} of the ${scope}: ${stdout}`)
        }
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('hears READY=1, then WATCHDOG=1 at every round, and STOPPING=1', { timeout: 240_000 }, () =>
    withWatched(async (watched) => {
      const address = watched.file('notify.sock')
      // A datagram Unix socket, which Node does not have: python3 stands where systemd does, and says what it hears.
      const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('listening', flush=True)
while True: print(s.recv(4096).decode().replace(chr(10), ' '), flush=True)`
      const manager = watched.adopt(new Resident(['python3', '-c', script, address], {}))
      await manager.line(/listening/)
      const configuration = watched.file('c.json')
      writeFileSync(configuration, JSON.stringify({ interval: '1s', forwards: [] }))
      const words = command('proxy-monitor', '--config', configuration, '--state-dir', watched.directory)
      const environment = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '60000000' }
      const monitor = watched.adopt(new Resident(words, environment))
      await manager.line(/READY=1/)
      await manager.line(/WATCHDOG=1/)
      assert.equal(await monitor.stop(), 0)
      await manager.line(/STOPPING=1/)
    }),
  )
})
