import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { completionsOf } from '../../src/cli/completion.ts'
import { words } from '../../src/cli/words.ts'
import { commandFile, run, temporaryDirectory } from '../support/children.ts'
import { wellRecord, wellState } from '../support/status-facts.ts'
import { freePort, inTime, skipFor } from '../support/tools.ts'
import { echoServer, withWatched } from '../support/watched.ts'

/** A shell at a terminal of its own, to be typed at. */
class Terminal {
  readonly #child: ChildProcess
  #shown = ''
  #waiting: (() => void)[] = []

  constructor(t: TestContext, shell: string, environment: NodeJS.ProcessEnv) {
    this.#child = spawn('script', ['--quiet', '--flush', '--command', shell, '/dev/null'], {
      env: { ...process.env, TERM: 'dumb', PS1: 'READY> ', PROMPT: 'READY> ', ...environment },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    t.onTestFinished(() => {
      void this.#child.kill('SIGKILL')
    })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#shown += text
      for (const look of this.#waiting.splice(0)) look()
    })
  }

  /** Types, and resolves when what is shown from then on matches. */
  async type(text: string, until: RegExp): Promise<string> {
    this.#shown = ''
    this.#child.stdin?.write(text)
    await inTime(this.#comes(until), () => `no ${until} came: ${JSON.stringify(this.#shown)}`)
    return this.#shown
  }

  async #comes(wanted: RegExp): Promise<void> {
    while (!wanted.test(this.#shown)) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}

const hasShell = (name: string) => existsSync(`/usr/bin/${name}`) || existsSync(`/bin/${name}`)

/** A folder with the commands under their names, as an installed package has them, and the script of a shell. */
async function installed(t: TestContext, shell: string): Promise<{ folder: string; PATH: string }> {
  const folder = temporaryDirectory(t)
  for (const name of ['port-watchdog', 'proxy-status', 'proxy-log', 'proxy-monitor']) {
    symlinkSync(commandFile(name), path.join(folder, name))
  }
  const { code, stdout } = await run('port-watchdog', ['completion', shell])
  assert.equal(code, 0)
  writeFileSync(path.join(folder, 'completion'), stdout)
  writeFileSync(path.join(folder, 'some.yaml'), '')
  return { folder, PATH: `${folder}:${process.env.PATH}` }
}

const valuesOf = (lines: readonly string[]) => lines.map((text) => text.split('\t')[0])

/** What a shell is told, without a process for each question. */
const ask = async (...line: string[]) => valuesOf(await completionsOf(line, words))

describe('completion', () => {
  it('of commands, options, values, files and folders', async () => {
    const { code, stdout } = await run('port-watchdog', ['--complete', 'port-watchdog', 'st'])
    assert.deepEqual([code, valuesOf(stdout.split('\n'))], [0, ['start', 'status', '']])
    assert.deepEqual(await ask('port-watchdog', 'st'), ['start', 'status'])
    assert.deepEqual(await ask('/some/where/proxy-log', '--l'), ['--level'])
    assert.deepEqual(await ask('port-watchdog', 'log', '--level', ''), ['info', 'warn', 'error'])
    assert.deepEqual(await ask('proxy-log', '--level=w'), ['--level=warn'])
    assert.deepEqual(await ask('proxy-log', '--level', '=', 'w'), ['warn'])
    assert.deepEqual(await ask('tcp-proxy', '1', 'localhost', '2', '--gate', ''), ['token'])
    assert.deepEqual(await ask('proxy-monitor', '--config', ''), [':files'])
    assert.deepEqual(await ask('port-watchdog', 'start', '--state-dir', ''), [':folders'])
    assert.deepEqual(await ask('proxy-monitor', '--check', ''), [':files'])
    assert.deepEqual(await ask('proxy-status', '--watch', '--js'), ['--json'])
    assert.deepEqual(await ask('port-watchdog', 'completion', ''), ['bash', 'zsh', 'fish'])
    assert.deepEqual(await ask('proxy-ctl', 're'), ['restart', 'retry', 'reload'])
    assert.deepEqual(await ask('port-watchdog', 'ctl', 'drain', '--wi'), ['--within'])
    assert.deepEqual(await ask('proxy-ctl', 'nothing', ''), [])
    assert.deepEqual(await ask('port-watchdog', 'nothing', ''), [])
  })

  it('of the names of forwards, from the records of the monitor', () =>
    withWatched(async (watched) => {
      const echo = await echoServer()
      const forward = (name: string, listen: number) => ({ name, listen, target: `localhost:${echo.port}` })
      await watched.monitor([forward('web', await freePort()), forward('wiki', await freePort())])
      const place = ['--state-dir', watched.directory]
      await watched.statusWhen('both are in the records', ({ forwards }) => forwards.length === 2)
      assert.deepEqual(await ask('port-watchdog', 'status', ...place, 'w'), ['web', 'wiki'])
      assert.deepEqual(await ask('proxy-log', ...place, ''), ['web', 'wiki', 'monitor'])
      assert.deepEqual(await ask('proxy-log', ...place, '--why', 'wi'), ['wiki'])
      assert.deepEqual(await ask('proxy-ctl', 'restart', ...place, 'w'), ['web', 'wiki'])
      assert.deepEqual(await ask('port-watchdog', 'ctl', 'stop', ...place, 'web', 'wi'), ['wiki'])
      await echo.close()
    }))

  it('offers no name from the records that a shell would run or that would change the terminal', async (t) => {
    const { folder, PATH } = await installed(t, 'bash')
    const hostile = [
      'w"eb',
      "w'eb",
      '$(touch evaluated)',
      'w`touch evaluated`',
      'w;id',
      'w web',
      '-w',
      'w\\eb',
    ]
    const controls = ['w\n:files', 'w\tb', 'w\u001b]0;title\u0007', 'w\u009b2J', 'w\u202e']
    const forwards = [...hostile, 'web', ...controls].map((name) => ({ ...wellRecord, name }))
    writeFileSync(path.join(folder, 'runtime-state.json'), JSON.stringify({ ...wellState, forwards }))
    assert.deepEqual(await ask('proxy-status', '--state-dir', folder, ''), ['web'])
    assert.deepEqual(await ask('proxy-status', `--state-dir=${folder}`, ''), ['web'])
    // As bash gives it.
    assert.deepEqual(await ask('proxy-status', '--state-dir', '=', folder, ''), ['web'])
    assert.deepEqual(await ask('proxy-log', '--state-dir', folder, '--why', '$'), [])
    const bash = new Terminal(t, 'bash --noprofile --norc -i', { PATH, HISTFILE: '/dev/null' })
    await bash.type(`cd ${folder} && source completion && echo so''urced\n`, /sourced/)
    await bash.type(`proxy-status --state-dir ${folder} \t`, / web $/)
    assert.ok(!existsSync(path.join(folder, 'evaluated')))
  })

  it('in bash, without evaluating what was typed', async (t) => {
    const { folder, PATH } = await installed(t, 'bash')
    const bash = new Terminal(t, 'bash --noprofile --norc -i', { PATH, HISTFILE: '/dev/null' })
    await bash.type(`cd ${folder} && source completion && echo so''urced\n`, /sourced/)
    await bash.type('port-watchdog stat\t', /port-watchdog status $/)
    await bash.type('--histo\t', /--history $/)
    await bash.type('\x15proxy-log --level=w\t', /--level=warn $/)
    await bash.type('\x15proxy-monitor --config som\t', /--config some\.yaml $/)
    await bash.type(`\x15proxy-status "$(touch evaluated)" --vers\t`, /--version $/)
    assert.ok(!existsSync(path.join(folder, 'evaluated')))
  })

  it('in zsh', { skip: skipFor(!hasShell('zsh') && 'zsh is not installed') }, async (t) => {
    const { folder, PATH } = await installed(t, 'zsh')
    const zsh = new Terminal(t, 'zsh -f -i', { PATH, HOME: folder })
    await zsh.type(
      `autoload -U compinit && compinit -u -D && cd ${folder} && source ./completion && echo so''urced\n`,
      /sourced/,
    )
    await zsh.type('port-watchdog stat\t', /port-watchdog statu?s? ?.*us ?/s)
    await zsh.type('--histo\t', /ry ?/)
    await zsh.type('\x15proxy-log --level=w\t', /arn/)
    await zsh.type('\x15proxy-monitor --config som\t', /e\.yaml/)
    await zsh.type(`\x15proxy-status "$(touch evaluated)" --vers\t`, /ion/)
    assert.ok(!existsSync(path.join(folder, 'evaluated')))
  })

  it('in fish', { skip: skipFor(!hasShell('fish') && 'fish is not installed') }, async (t) => {
    const { folder, PATH } = await installed(t, 'fish')
    const completed = async (line: string) => {
      const script = `source completion; complete -C '${line}'`
      const child = spawn('fish', ['--no-config', '-c', script], {
        cwd: folder,
        env: { ...process.env, PATH, HOME: folder },
      })
      let said = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
      await new Promise((resolve) => child.once('close', resolve))
      return valuesOf(said.split('\n').slice(0, -1))
    }
    assert.deepEqual(await completed('port-watchdog st'), ['start', 'status'])
    assert.deepEqual(await completed('proxy-log --level=w'), ['--level=warn'])
    assert.deepEqual(await completed('proxy-status --histo'), ['--history'])
    assert.deepEqual(await completed('proxy-monitor --config som'), ['some.yaml'])
  })
})
