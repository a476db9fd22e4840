// Whom a program runs as, and who reads its command.
import { execFileSync } from 'node:child_process'
import { chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect } from 'vitest'
import { parseConfiguration } from '../../src/config/schema.ts'
import { askControl } from '../../src/control/client.ts'
import { it } from '../support/fixtures.ts'
import { order } from '../support/ordered.ts'
import { programWhen, runningAs, script, startPrograms } from '../support/programs.ts'
import { until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

const isRoot = process.getuid?.() === 0

const tell = [
  'const { HOME, USER, LOGNAME, SHELL } = process.env',
  'const groups = process.getgroups().sort().join()',
  `console.log('as', process.getuid(), process.getgid(), groups, HOME, USER, LOGNAME, SHELL)`,
]

async function printed(watched: Watched, name: string): Promise<readonly string[]> {
  const { stdout } = await watched.run('proxy-log', name, '--json')
  const lines = stdout.trim().split('\n')
  return lines.map((line) => (JSON.parse(line) as { readonly message: string }).message)
}

function problemsIn(program: object): readonly string[] {
  const parsed = parseConfiguration({ programs: [{ name: 'web', ...program }] })
  return parsed.ok ? [] : parsed.problems.map(({ text }) => text)
}

describe('A command', { timeout: 120_000 }, () => {
  it('is read by a shell only where the configuration says so', async ({ watched }) => {
    const idle = 'setInterval(() => {}, 1000)'
    const show = `console.log('got', JSON.stringify(process.argv.slice(1)))`
    const meant = ['; echo injected', '`id`', '*', '&&', '-x', "it's", '|', '>out']
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is for the shell.
    const line = 'echo "told by $0: ${ONE:-none}" && exec sleep 1000'
    expect(problemsIn({ command: 'npm start' })).toEqual([
      'programs[0].command: must be a list, such as [npm, run, dev]; for a shell that reads one line: shell: true',
    ])
    expect(problemsIn({ command: ['a'], shell: true })).toEqual([
      'programs[0].shell: a shell reads one line; write command as a string, or leave out shell',
    ])
    await startPrograms(watched, [
      {
        name: 'list',
        command: [process.execPath, '-e', `${show}\n${idle}`, '--', ...meant],
      },
      { name: 'line', command: line, shell: true, env: { ONE: '1' } },
    ])
    await runningAs(watched, 'list')
    await runningAs(watched, 'line')
    await until('both have printed', async () => {
      const [list, shell] = [await printed(watched, 'list'), await printed(watched, 'line')]
      expect(list).toContain(`got ${JSON.stringify(meant)}`)
      expect(shell).toContain('told by /bin/sh: 1')
      return true
    })
  })
})

describe.skipIf(!isRoot)('A program with a user', { timeout: 120_000 }, () => {
  it('runs as that user with its groups, and so do its probes and actions', async ({ watched }) => {
    const id = (...words: string[]) => execFileSync('id', [...words, 'nobody'], { encoding: 'utf8' }).trim()
    const [home, shell] = execFileSync('getent', ['passwd', 'nobody'], { encoding: 'utf8' })
      .trim()
      .split(':')
      .slice(5)
    const whoAmI = [process.execPath, '-e', 'process.exit(process.getuid() === 0 ? 1 : 0)']
    await startPrograms(watched, [
      {
        name: 'web',
        user: 'nobody',
        cwd: '/',
        command: script(
          ...tell,
          `require('node:fs').writeFileSync('/dev/stderr', 'by its name\\n')`,
          'setInterval(() => {}, 1000)',
        ),
        ready: { command: whoAmI },
        actions: { who: { command: ['id', '-u'] } },
      },
      {
        name: 'other',
        user: 'nobody',
        group: 'daemon',
        cwd: '/',
        command: script(...tell, 'setInterval(() => {}, 1000)'),
      },
      { name: 'gone', user: 'nobody-of-that-name', command: ['true'] },
      { name: 'missing', user: 'nobody', cwd: '/', command: ['no-such-command'] },
    ])
    await runningAs(watched, 'web')
    await runningAs(watched, 'other')
    const groups = id('-G').split(' ').sort().join()
    await until('it has printed', async () => {
      const lines = await printed(watched, 'web')
      expect(lines).toContain(`as ${id('-u')} ${id('-g')} ${groups} ${home} nobody nobody ${shell}`)
      expect(lines).toContain('by its name')
      expect((await printed(watched, 'other')).join('\n')).toMatch(new RegExp(`as ${id('-u')} 1 `))
      return true
    })
    const input = { units: ['web'], action: 'who', arguments: {} }
    const answer = await askControl(
      watched.file('control.sock'),
      'order',
      { order: 'run-action', input },
      20_000,
    )
    expect(JSON.stringify(answer)).toContain(`"output":"${id('-u')}`)
    const gone = await programWhen(watched, 'gone', ({ state }) => state === 'blocked')
    expect(gone.reason).toContain('its user nobody-of-that-name does not exist; create it, or correct user')
    const missing = await programWhen(watched, 'missing', ({ reason }) => reason !== null)
    expect(missing.reason).toContain('no-such-command was not found')
    expect((await order(watched, 'stop', 'web')).answer).toMatchObject({ done: true })
  })

  it('is given no file of variables that only a link of that user leads to', async ({ watched }) => {
    const uid = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }))
    const secret = watched.file('secret.env')
    writeFileSync(secret, 'SECRET=of-root\n', { mode: 0o600 })
    const folder = mkdtempSync(path.join(tmpdir(), 'of-nobody-'))
    try {
      symlinkSync(secret, path.join(folder, 'link.env'))
      writeFileSync(path.join(folder, 'own.env'), 'OWN=read\n')
      chownSync(path.join(folder, 'own.env'), uid, uid)
      symlinkSync('own.env', path.join(folder, 'own-link.env'))
      chownSync(folder, uid, uid)
      const program = (name: string, envFile: string) => ({
        ...{ name, user: 'nobody', cwd: '/', envFile },
        command: script(
          'console.log("has", process.env.SECRET, process.env.OWN)',
          'setInterval(() => {}, 1000)',
        ),
      })
      await startPrograms(watched, [
        program('led', path.join(folder, 'link.env')),
        program('own', path.join(folder, 'own-link.env')),
        // What root alone could have put there is meant.
        program('given', secret),
      ])
      const refused = /a symbolic link that another user may have made leads to .*link\.env/
      await programWhen(watched, 'led', ({ reason }) => refused.test(reason ?? ''))
      for (const [name, has] of [
        ['own', 'has undefined read'],
        ['given', 'has of-root undefined'],
      ] as const) {
        await runningAs(watched, name)
        await until(
          `${name} has printed`,
          async () => (await printed(watched, name)).includes(has) || undefined,
        )
      }
      const { stdout } = await watched.run('proxy-log', 'led')
      expect(stdout).not.toContain('of-root')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
