// `proxy-ctl import` and `proxy-ctl add`, as a person types them: what they write passes `proxy-monitor --check`.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it, type TestContext, vi } from 'vitest'
import { proxyCtl } from '../../src/cli/proxy-ctl.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { commandFile, temporaryDirectory } from '../support/children.ts'
import { checkout } from '../support/tools.ts'

const samples = path.join(checkout, 'test/program/import/samples')

interface Finished {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command of `proxy-ctl` in this process: of most of them only the words matter. */
async function ctl(...words: string[]): Promise<Finished> {
  const told = { stdout: '', stderr: '' }
  const keep = (stream: 'stdout' | 'stderr') =>
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      told[stream] += text
      return true
    })
  const kept = [keep('stdout'), keep('stderr')]
  // A command listens to what ends its process; here, many run in one.
  for (const one of [process, process.stdout, process.stderr]) one.setMaxListeners(0)
  try {
    await proxyCtl.runWith(words)
    return { status: Number(process.exitCode ?? 0), ...told }
  } finally {
    for (const one of kept) one.mockRestore()
    process.exitCode = undefined
  }
}

/** A folder, and the program that a configuration in it describes. */
function inFolder(t: TestContext) {
  const folder = temporaryDirectory(t)
  const file = (name = 'port-watchdog.yaml') => path.join(folder, name)
  const read = (name?: string) => readFileSync(file(name), 'utf8')
  const commands = async (name?: string) =>
    (await loadConfiguration(file(name))).programs.map(({ command }) => command.join(' '))
  return { folder, file, read, commands }
}

describe('proxy-ctl import', () => {
  for (const sample of [
    'Procfile',
    'circus.ini',
    'supervisord.conf',
    'ecosystem.json',
    'process-compose.yaml',
  ]) {
    it(`turns ${sample} into a configuration that is valid as soon as its variables have values`, async (t) => {
      const { file, read, commands } = inFolder(t)
      const { status, stdout, stderr } = await ctl(
        'import',
        path.join(samples, sample),
        '--write',
        file('new.yaml'),
      )
      expect([status, stderr], stdout).toEqual([0, ''])
      expect(stdout).toMatch(
        /^Wrote \S+new\.yaml: \d programs; \d+ things? could not be carried over, see the comments\. Check it: .*proxy-monitor.* --check --config \S+new\.yaml\n$/,
      )
      const text = read('new.yaml')
      // What a shell is to replace is its own affair.
      const isOpen = (line: string) => /\$\{\w+\}/.test(line) && !/sh, -c| {8}|^ *#/.test(line)
      if (text.split('\n').some(isOpen))
        await expect(commands('new.yaml')).rejects.toThrow(/looks like a variable/)
      const replaced = (line: string) => (isOpen(line) ? line.replaceAll(/\$\{\w+\}/g, 'value') : line)
      writeFileSync(file('new.yaml'), text.split('\n').map(replaced).join('\n'))
      expect((await commands('new.yaml')).length).toBeGreaterThan(1)
    })
  }

  it('runs JavaScript only when it is told to', async () => {
    const file = path.join(samples, 'ecosystem.config.cjs')
    const refused = await ctl('import', file)
    expect(refused.status).toBe(64)
    expect(refused.stderr).toMatch(
      /is JavaScript, which says what it holds only when it runs; to run it: .*proxy-ctl.* import .* --run-it\n$/,
    )
    const { status, stdout, stderr } = await ctl('import', file, '--run-it')
    expect([status, stderr]).toEqual([0, expect.stringMatching(/^proxy-ctl: 2 programs; /)])
    expect(stdout).toContain('command: [ node, app.js ]')
    expect(stdout).toContain('# apps[1].increment_var: [function]: this is a function, not a value')
  })

  it('says what is wrong with a file, and overwrites none', async (t) => {
    const { file } = inFolder(t)
    for (const [name, text] of Object.entries({
      'a.conf': 'x',
      'bad.json': '{"apps": [',
      'bad.cjs': 'throw new TypeError("no")',
      Procfile: 'web node',
    }))
      writeFileSync(file(name), text)
    const inIt = (word: string) => (word === 'a.conf' ? file(word) : word)
    const mistakes: readonly (readonly [words: string[], code: number, said: RegExp])[] = [
      [['none.ini'], 66, /none\.ini does not exist/],
      [['a.conf'], 64, /in none of the known formats; name it with --format: procfile, circus, /],
      [['a.conf', '--format', 'toml'], 64, /unknown format "toml"; write one of: procfile/],
      [['bad.json'], 66, /bad\.json cannot be read as pm2: /],
      [['bad.cjs', '--run-it'], 66, /bad\.cjs cannot be run: TypeError: no/],
      [['Procfile'], 66, /Procfile names no program that can be carried over \(line 1: web node: /],
      [[path.join(samples, 'Procfile'), '--write', 'a.conf'], 73, /a\.conf exists and is left as it is/],
    ]
    for (const [[name = '', ...words], code, said] of mistakes) {
      const { status, stderr } = await ctl('import', path.resolve(file('.'), name), ...words.map(inIt))
      expect([status, stderr], name).toEqual([code, expect.stringMatching(said)])
      expect(stderr.trim().split('\n')).toEqual([expect.any(String)])
    }
  })
})

describe('proxy-ctl add', () => {
  it('finds out what a folder holds, and makes the file that a monitor there uses', async (t) => {
    const { folder, file, read, commands } = inFolder(t)
    mkdirSync(file('web'))
    writeFileSync(file('web/package.json'), '{"devDependencies": {"vite": "8.0.0"}}')
    const words = [commandFile('proxy-ctl'), 'add', '--cwd', 'web', '--forward']
    const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: '' }
    const { status, stdout, stderr } = spawnSync(process.execPath, words, {
      cwd: folder,
      env,
      encoding: 'utf8',
    })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(
      /^Added program web \(vite, port 5173\) and forward web-port \(port 5173\) to .*port-watchdog\.yaml\.\n/,
    )
    expect(stdout).toMatch(/; to start one: .*proxy-monitor\S*\n$/)
    expect(read()).toBe(
      'programs:\n  - name: web\n    template: vite\n    cwd: ./web\n\nforwards:\n  - name: web-port\n    listen: 5173\n    target: localhost:5173\n    gate: token\n',
    )
    expect(await commands()).toEqual(['node_modules/.bin/vite --port 5173 --strictPort'])
  })

  it('keeps what stands in the file, its mode, and a link to it', async (t) => {
    const { folder, file, read, commands } = inFolder(t)
    const text = '# mine\nprograms:\n  - { name: a, command: [x] }   # why\n'
    writeFileSync(file('real.yaml'), text)
    chmodSync(file('real.yaml'), 0o640)
    symlinkSync('real.yaml', file())
    mkdirSync(file('.venv/bin'), { recursive: true })
    writeFileSync(file('.venv/bin/python'), '')
    const add = (...words: string[]) => ctl('add', '--config', file(), '--cwd', folder, ...words)
    expect(await add('django', '--name', 'site', '--port', '8100')).toMatchObject({ status: 0, stderr: '' })
    expect(read('real.yaml')).toBe(
      `${text}  - name: site\n    template: django\n    port: 8100\n    command: [.venv/bin/python, manage.py, runserver, 127.0.0.1:8100]\n`,
    )
    expect(statSync(file('real.yaml')).mode & 0o777).toBe(0o640)
    expect(await add('mcp-proxy', '--name', 'mcp', '--', 'node', 'server.js', '--x')).toMatchObject({
      status: 0,
    })
    expect((await commands()).at(-1)).toMatch(/--port 8080 -- node server\.js --x$/)
  })

  it('takes a person’s own templates, unless others can change them', async (t) => {
    const { folder, file, commands } = inFolder(t)
    mkdirSync(file('templates'))
    const template = 'port: 4000\ncommand: [run-it, "{port}"]\nready: { port: "{port}" }\n'
    writeFileSync(file('templates/api.yaml'), template)
    const add = (name: string) => ctl('add', 'api', '--config', file(), '--cwd', folder, '--name', name)
    expect(await add('one')).toMatchObject({ status: 0 })
    expect(await commands()).toEqual(['run-it 4000'])
    chmodSync(file('templates/api.yaml'), 0o666)
    await expect(commands()).rejects.toThrow(/other users can write .*api\.yaml.*chmod go-w/)
    expect(await add('two')).toMatchObject({ status: 78 })
  })

  it('writes nothing when something is wrong', async (t) => {
    const { folder, file, read } = inFolder(t)
    const text = 'forwards:\n  - { name: web, listen: 8000, target: "localhost:3000" }\n'
    writeFileSync(file(), text)
    const mistakes: readonly (readonly [words: string[], code: number, said: RegExp])[] = [
      [
        ['vite', '--name', 'web'],
        64,
        /has a forward or program named web already; take another name: --name NAME/,
      ],
      [['veet', '--name', 'b'], 64, /there is no template "veet"; there are vite, nextjs/],
      [['--name', 'b'], 64, /fits no template; name one: vite, /],
      [['vite', '--cwd', '/nowhere'], 66, /nowhere does not exist; name another one: --cwd FOLDER/],
      [['vite', '--name', 'a b'], 78, /name/],
      [['vite', '--name', 'b', '--port', '99999'], 64, /--port/],
    ]
    for (const [words, code, said] of mistakes) {
      const { status, stderr } = await ctl('add', '--config', file(), '--cwd', folder, ...words)
      expect([status, stderr], words.join(' ')).toEqual([code, expect.stringMatching(said)])
    }
    expect(read()).toBe(text)
  })
})
