import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { z } from 'zod'
import { type Diagnosis, examine as examined } from '../../src/doctor/examine.ts'
import { isLoopback, machineAddresses } from '../../src/os/interfaces.ts'
import { temporaryDirectory } from '../support/children.ts'
import { Resident } from '../support/resident.ts'
import { checkout, freePort, run, until } from '../support/tools.ts'
import { command, echoServer, withWatched } from '../support/watched.ts'

const schema = z.fromJSONSchema(
  JSON.parse(readFileSync(path.join(checkout, 'schema', 'doctor.schema.json'), 'utf8')),
)

interface Circumstances {
  readonly stateDirectory: string
  readonly configuration?: object
  readonly testAlerts?: boolean
}

/** Writes the configuration beside the state directory. @returns the file; undefined when there is to be none. */
function written({ stateDirectory, configuration }: Circumstances): string | undefined {
  if (configuration === undefined) return undefined
  const file = `${stateDirectory}.json`
  writeFileSync(file, JSON.stringify(configuration), { mode: 0o600 })
  return file
}

/** What the command does and prints with --json, without a process for it. */
async function examine(circumstances: Circumstances): Promise<Diagnosis> {
  const { stateDirectory, testAlerts = false } = circumstances
  const diagnosis = await examined({ stateDirectory, file: written(circumstances), testAlerts })
  return schema.parse(JSON.parse(JSON.stringify(diagnosis))) as Diagnosis
}

/** The command itself. @param under words before it: `prlimit`, `unshare`, `env`. */
async function typed(circumstances: Circumstances, ...under: readonly string[]): Promise<Diagnosis> {
  const file = written(circumstances)
  const words = ['doctor', '--json', '--state-dir', circumstances.stateDirectory]
  if (file !== undefined) words.push('--config', file)
  if (circumstances.testAlerts) words.push('--test-alerts')
  const { code, stdout, stderr } = await run([...under, ...command('port-watchdog', ...words)], 60_000)
  assert.equal(stderr, '')
  const diagnosis = schema.parse(JSON.parse(stdout)) as Diagnosis
  assert.equal(code, diagnosis.exitCode)
  return diagnosis
}

const codes = ({ findings }: Diagnosis) => findings.map(({ code }) => code)

function findingOf({ findings }: Diagnosis, code: string) {
  const found = findings.find((finding) => finding.code === code)
  assert.ok(found, `no ${code} in ${JSON.stringify(findings, null, 1)}`)
  return found
}

function place(t: TestContext): string {
  const directory = path.join(temporaryDirectory(t), 'state')
  mkdirSync(directory, { mode: 0o700 })
  return directory
}

describe('doctor', () => {
  it('tells people and programs the same, without a monitor, and changes nothing', async (t) => {
    const stateDirectory = path.join(temporaryDirectory(t), 'state')
    const diagnosis = await typed({ stateDirectory })
    assert.equal(findingOf(diagnosis, 'state-directory-missing').level, 'note')
    const told = await run(command('port-watchdog', 'doctor', '--state-dir', stateDirectory))
    assert.equal(told.code, diagnosis.exitCode)
    // Processes of other tests, which run beside this one, come and go.
    const own = diagnosis.findings.filter(({ code }) => !code.startsWith('forwarder-'))
    for (const { cure } of own.filter(({ level }) => level === 'warning')) {
      assert.ok(told.stdout.replaceAll(/\s+/g, ' ').includes(`→ ${cure}`), cure ?? '')
    }
    assert.equal((await run(['ls', stateDirectory])).code, 2)
  })

  it('few file descriptors', async (t) => {
    const diagnosis = await typed({ stateDirectory: place(t) }, 'prlimit', '--nofile=300:300')
    const { level, cure } = findingOf(diagnosis, 'descriptors-few')
    assert.equal(level, 'warning')
    assert.match(cure ?? '', /ulimit -n/)
  })

  it('a configuration that is not valid', async (t) => {
    const configuration = { forwards: [{ name: 'web', lisen: 1 }] }
    const diagnosis = await typed({ stateDirectory: place(t), configuration })
    const { what, cure } = findingOf(diagnosis, 'configuration-invalid')
    assert.equal(diagnosis.exitCode, 2)
    assert.match(what, /lisen/)
    assert.match(cure ?? '', /proxy-monitor(?:\.cjs)? --check \//)
    assert.ok(!codes(diagnosis).includes('exposure'), 'nothing is said of what could not be read')
  })

  it('a state directory that others can enter', async (t) => {
    const stateDirectory = place(t)
    chmodSync(stateDirectory, 0o755)
    const { level, cure } = findingOf(await examine({ stateDirectory }), 'state-directory-open')
    assert.deepEqual({ level, cure }, { level: 'error', cure: `chmod 700 ${stateDirectory}` })
  })

  it('a state directory that anybody could put another one in the place of', async (t) => {
    const stateDirectory = place(t)
    chmodSync(path.dirname(stateDirectory), 0o777)
    const diagnosis = await examine({ stateDirectory })
    assert.equal(
      findingOf(diagnosis, 'state-directory-untrusted').cure,
      `chmod go-w ${path.dirname(stateDirectory)}`,
    )
  })

  it('a state directory on a full disk', async (t) => {
    const stateDirectory = place(t)
    const mounted = await run(['mount', '-t', 'tmpfs', '-o', 'size=1m,mode=700', 'tmpfs', stateDirectory])
    if (mounted.code !== 0) return t.skip('mounting needs root')
    try {
      assert.equal(findingOf(await examine({ stateDirectory }), 'disk-nearly-full').level, 'warning')
    } finally {
      await run(['umount', stateDirectory])
    }
  })

  it('a port that somebody else holds, by PID', async (t) => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
    const { port } = server.address() as { port: number }
    const configuration = { forwards: [{ name: 'web', listen: port, target: '10.0.0.1:80' }] }
    const { what, level, cure } = findingOf(
      await examine({ stateDirectory: place(t), configuration }),
      'port-taken',
    )
    server.close()
    assert.equal(level, 'error')
    assert.match(what, new RegExp(`^web: 0\\.0\\.0\\.0:${port} is held by PID ${process.pid} `))
    assert.match(cure ?? '', new RegExp(`^kill ${process.pid}`))
  })

  it('a target on loopback is not in the way of its own forward, and one that is missing is named', async (t) => {
    const echo = await echoServer()
    const absent = await freePort()
    const configuration = {
      forwards: [
        { name: 'same', listen: echo.port, target: `localhost:${echo.port}` },
        { name: 'absent', listen: absent, target: `localhost:${absent}` },
      ],
    }
    const diagnosis = await examine({ stateDirectory: place(t), configuration })
    await echo.close()
    assert.ok(!codes(diagnosis).includes('port-taken'))
    const missing = diagnosis.findings.filter(({ code }) => code === 'target-absent')
    assert.deepEqual(
      missing.map(({ what }) => what),
      [`absent: nothing listens on localhost:${absent} yet`],
    )
  })

  it('forwarders: watched, left behind by a monitor that died, and alone', () =>
    withWatched(async (watched) => {
      const echo = await echoServer()
      const port = await freePort()
      const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}` }]
      const monitor = await watched.monitor(forwards)
      const stateDirectory = watched.directory
      const { identity } = await until('the forwarder', async () => {
        const { forwards: shown } = await watched.status()
        return shown[0]?.state === 'healthy' ? { identity: shown[0].pid } : undefined
      })
      const about = ({ findings }: Diagnosis) =>
        findings.filter(({ what }) => what.includes(`PID ${identity}`))
      const watchedOne = about(await examine({ stateDirectory, configuration: { forwards } }))
      assert.deepEqual(
        watchedOne.map(({ code }) => code),
        ['port-served'],
      )

      process.kill(monitor.pid, 'SIGKILL')
      await monitor.ended()
      const left = about(await examine({ stateDirectory, configuration: { forwards } }))
      assert.deepEqual(
        left.map(({ code }) => code),
        ['port-served', 'forwarder-left-behind'],
      )
      assert.match(
        left[1]?.cure ?? '',
        new RegExp(`proxy-monitor(?:\\.cjs)? --state-dir ${stateDirectory}, or .*kill ${identity}$`),
      )

      const lone = path.join(stateDirectory, 'lone')
      mkdirSync(lone, { mode: 0o700 })
      const alone = watched.adopt(
        new Resident(
          command('tcp-proxy', String(await freePort()), 'localhost', '1', '--state-dir', lone),
          {},
        ),
      )
      await alone.line(/Listening/)
      const found = (await examine({ stateDirectory: lone })).findings.filter(({ what }) =>
        what.includes(`PID ${alone.pid})`),
      )
      assert.deepEqual(
        found.map(({ code }) => code),
        ['forwarder-alone'],
      )
      await echo.close()
    }))

  it('leftovers of the shell scripts: processes, the monitor first, and files', () =>
    withWatched(async (watched) => {
      const folder = watched.directory
      const start = async (name: string, ...words: string[]) => {
        writeFileSync(path.join(folder, name), 'echo up; read -r _ <&3\n')
        const script = 'exec 3< <(exec sleep 600); exec bash "$@"'
        const old = watched.adopt(
          new Resident(['bash', '-c', script, 'bash', path.join(folder, name), ...words], {}),
        )
        await old.line(/up/)
        return old
      }
      const forwarder = await start('tcp_proxy.py', '6274', 'localhost', '6274')
      const monitor = await start('monitor_proxy.sh')
      writeFileSync(path.join(folder, 'tcp_proxy_6274.pid'), '1\n')
      writeFileSync(path.join(folder, 'tcp_proxy_6274_failures'), '0\n')
      const diagnosis = await typed({ stateDirectory: path.join(folder, 'state') }, 'env', `TMPDIR=${folder}`)
      const running = diagnosis.findings.filter(({ code, cure }) => {
        return (
          code === 'old-script-running' &&
          [forwarder.pid, monitor.pid].includes(Number(cure?.slice('kill '.length)))
        )
      })
      assert.deepEqual(
        running.map(({ cure }) => cure),
        [`kill ${monitor.pid}`, `kill ${forwarder.pid}`],
      )
      const { cure } = findingOf(diagnosis, 'old-files')
      assert.ok(
        cure?.includes(`${folder}/tcp_proxy_6274.pid`) && cure.includes('tcp_proxy_6274_failures'),
        cure ?? '',
      )
    }))

  it('forwards that are more open than they should be, and time-outs that cut what is in use', async (t) => {
    const port = await freePort()
    const configuration = {
      forwards: [
        { name: 'inspector', listen: port, target: '10.0.0.5:6274' },
        { name: 'gated', listen: port + 1, target: '10.0.0.5:6274', gate: 'token' },
        { name: 'open', listen: port + 2, target: '10.0.0.5:80', allow: 'any', idleTimeout: '5s' },
        { name: 'own', listen: port + 3, target: '10.0.0.5:6274', bind: '127.0.0.1', drain: '2m' },
      ],
    }
    const { findings } = await examine({ stateDirectory: place(t), configuration })
    const found = findings.filter(({ check }) => check === 'exposure' || check === 'timeouts')
    assert.deepEqual(
      found.map(({ code, what }) => `${what.split(':')[0]}: ${code}`),
      [
        'inspector: inspector-exposed',
        'gated: token-in-plain-text',
        'open: open-to-all',
        'open: idle-timeout-short',
        'own: drain-longer-than-systemd',
      ],
    )
  })

  it('the login that a running monitor has put in front of the default forwards', async (t) => {
    if (!machineAddresses().some(({ address }) => !isLoopback(address)))
      return t.skip('this machine has loopback alone, where a token passes in plain text')
    const stateDirectory = place(t)
    const words = ['--gate', 'token', '--state-dir', stateDirectory, '--stop-forwards']
    const monitor = new Resident(command('proxy-monitor', ...words), {})
    t.onTestFinished(async () => {
      await monitor.stop()
    })
    await monitor.line(/Monitor started/)
    const found = await until('the records of the monitor', async () => {
      const diagnosis = await examine({ stateDirectory })
      return codes(diagnosis).includes('token-in-plain-text') ? diagnosis : undefined
    })
    assert.ok(!codes(found).includes('inspector-exposed'), codes(found).join(' '))
  })

  it('alert channels, by a test message when it is asked for', async (t) => {
    const stateDirectory = place(t)
    const received = `${stateDirectory}.received`
    const configuration = {
      forwards: [],
      alerts: {
        channels: [
          { type: 'command', name: 'works', command: ['/bin/sh', '-c', `cat >${received}`] },
          { type: 'command', name: 'fails', command: ['/bin/sh', '-c', 'exit 3'] },
        ],
      },
    }
    const untested = await examine({ stateDirectory, configuration })
    assert.equal(findingOf(untested, 'channel-untried').cure, 'port-watchdog doctor --test-alerts')
    const tested = await typed({ stateDirectory, configuration, testAlerts: true })
    assert.equal(findingOf(tested, 'test-alert-sent').what, 'alert channel works took the test message')
    assert.match(
      findingOf(tested, 'test-alert-failed').what,
      /^alert channel fails did not take the test message: /,
    )
    assert.match(readFileSync(received, 'utf8'), /test/)
  })

  it('records of another PID namespace', () =>
    withWatched(async (watched) => {
      const echo = await echoServer()
      await watched.monitor([{ name: 'web', listen: await freePort(), target: `localhost:${echo.port}` }])
      await watched.status()
      const under = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
      const diagnosis = await typed({ stateDirectory: watched.directory }, ...under)
      assert.equal(findingOf(diagnosis, 'records-of-another-namespace').level, 'warning')
      assert.ok(
        !codes(await examine({ stateDirectory: watched.directory })).includes('records-of-another-namespace'),
      )
      await echo.close()
    }))
})
