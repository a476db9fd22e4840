import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { commandFile, run, temporaryDirectory } from '../support/children.ts'
import { echoServer, freePort, withWatched } from '../support/watched.ts'

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
    t.after(() => this.#child.kill('SIGKILL'))
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#shown += text
      for (const look of this.#waiting.splice(0)) look()
    })
  }

  /** Types, and resolves when what is shown from then on matches. */
  async type(text: string, until: RegExp): Promise<string> {
    this.#shown = ''
    this.#child.stdin?.write(text)
    while (!until.test(this.#shown)) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.#shown
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

const ask = async (...line: string[]) => {
  const { stdout } = await run('port-watchdog', ['--complete', ...line])
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((text) => text.split('\t')[0])
}

describe('completion', () => {
  it('of commands, options, values, files and folders', async () => {
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
    assert.deepEqual(await ask('port-watchdog', 'nothing', ''), [])
  })

  it('of the names of forwards, from the records of the monitor', () =>
    withWatched(async (watched) => {
      const echo = await echoServer()
      const forward = (name: string, listen: number) => ({ name, listen, target: `localhost:${echo.port}` })
      await watched.monitor([forward('web', await freePort()), forward('wiki', await freePort())])
      const place = ['--state-dir', watched.directory]
      assert.deepEqual(await ask('port-watchdog', 'status', ...place, 'w'), ['web', 'wiki'])
      assert.deepEqual(await ask('proxy-log', ...place, ''), ['web', 'wiki', 'monitor'])
      assert.deepEqual(await ask('proxy-log', ...place, '--why', 'wi'), ['wiki'])
      await echo.close()
    }))

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

  it('in zsh', { skip: !hasShell('zsh') && 'zsh is not installed' }, async (t) => {
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

  it('in fish', { skip: !hasShell('fish') && 'fish is not installed' }, async (t) => {
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
      return said
        .split('\n')
        .slice(0, -1)
        .map((text) => text.split('\t')[0])
    }
    assert.deepEqual(await completed('port-watchdog st'), ['start', 'status'])
    assert.deepEqual(await completed('proxy-log --level=w'), ['--level=warn'])
    assert.deepEqual(await completed('proxy-status --histo'), ['--history'])
    assert.deepEqual(await completed('proxy-monitor --config som'), ['some.yaml'])
  })
})
