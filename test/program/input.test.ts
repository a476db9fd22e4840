// Orders about programs that run: send, signal, run-action, each with what it refuses.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { askControl } from '../../src/control/client.ts'
import type { OrderAnswer } from '../../src/orders/order.ts'
import { it } from '../support/fixtures.ts'
import { runningAs, script, startPrograms } from '../support/programs.ts'
import { until } from '../support/tools.ts'
import { command } from '../support/watched.ts'

/** Answers each line, late; tells signals. */
const talker = script(
  `require('node:readline').createInterface({ input: process.stdin }).on('line', (line) =>
    setTimeout(() => console.log('got', JSON.stringify(line), process.env.SECRET ? 'secret' : ''), 50))`,
  `process.on('SIGUSR2', () => console.log('signalled'))`,
  `console.log('up')`,
  'setInterval(() => {}, 1000)',
)

describe('Orders about a program', { timeout: 240_000 }, () => {
  it('write to it, signal it and run its actions, as far as its configuration allows', async ({
    watched,
  }) => {
    const print = 'console.log(process.argv.slice(1).join("|"), process.cwd() === process.env.PWD_WANTED)'
    writeFileSync(watched.file('repl.env'), 'FROM_FILE=yes\n')
    await startPrograms(watched, [
      {
        name: 'repl',
        command: talker,
        input: { deny: ['^bye'] },
        env: { PWD_WANTED: watched.directory },
        envFile: 'repl.env',
        actions: {
          show: {
            command: [process.execPath, '-e', print, '--', '{what}', '{loud}'],
            arguments: { what: { type: 'text', required: true }, loud: { type: 'flag' } },
          },
          hang: { command: script('setInterval(() => {}, 1000)', 'console.log("begun")'), timeout: '3s' },
          flood: {
            command: script('process.stdout.write("x".repeat(200_000) + "end"); process.exitCode = 3'),
          },
          secret: {
            command: script('console.log("API_TOKEN=sup3rs3cretvalue\\x1b]52;c;eA==\\x07\\x1b[31mred")'),
          },
          surroundings: {
            command: script(
              'console.log([process.env.FROM_FILE, process.env.PWD_WANTED, process.env.PORT_WATCHDOG_PROGRAM].join())',
            ),
          },
          missing: { command: ['no-such-program-anywhere'] },
        },
      },
      { name: 'mute', command: talker },
    ])
    await runningAs(watched, 'repl')
    /** Without a process for each. */
    const give = async (name: string, input: object) => {
      const asked = { order: name, input: { units: ['repl'], ...input } }
      return (await askControl(watched.file('control.sock'), 'order', asked, 30_000)) as OrderAnswer
    }
    const code = async (name: string, input: object) => {
      const answer = await give(name, input)
      return 'error' in answer ? answer.error.code : answer.done
    }
    expect(await give('send', { text: 'hello; $(x)', waitFor: '^got' })).toMatchObject({
      done: true,
      output: { matched: true, lines: [{ text: expect.stringContaining('got "hello; $(x)"') }] },
    })
    expect((await watched.run('proxy-ctl', 'send', 'repl', 'two')).stdout).toMatch(/^got "two" *\n$/)
    for (const text of ['bye', 'rm -rf x', '\x03'])
      expect(await code('send', { text }), text).toBe('input-denied')
    expect(await code('send', { text: 'hello', units: ['mute'] })).toBe('input-off')

    expect(await code('signal', { signal: 'SIGUSR2' })).toBe(true)
    expect(await code('signal', { signal: 'SIGNOTHING' })).toBe('invalid-input')
    await until('it was signalled', async () => {
      return readFileSync(watched.file('program_repl.log'), 'utf8').includes('signalled') || undefined
    })

    const shown = await watched.run('proxy-ctl', 'run-action', 'repl', 'show', 'what=$(id) `x`', 'loud=true')
    expect([shown.code, shown.stdout]).toEqual([0, '$(id) `x`|--loud true\n'])
    const run = (action: string, more: object = {}) => give('run-action', { action, ...more })
    const refused = async (action: string, more: object = {}) => await code('run-action', { action, ...more })
    expect(await refused('show', { arguments: { what: '--version' } })).toBe('invalid-argument')
    expect(await refused('show')).toBe('invalid-argument')
    expect(await refused('rm')).toBe('unknown-action')
    expect(await refused('show', { units: ['mute'] })).toBe('unknown-action')
    expect(await refused('missing')).toBe('failed')
    expect(await run('surroundings')).toMatchObject({ output: { output: `yes,${watched.directory},repl\n` } })
    expect(await run('flood', { maxBytes: 65_536 })).toMatchObject({
      output: { exitCode: 3, droppedBytes: 200_003 - 65_536, output: expect.stringMatching(/xend$/) },
    })
    expect(await run('flood', { maxBytes: 5 })).toMatchObject({
      output: { output: 'xxend', droppedBytes: 199_998 },
    })
    // A cut does not uncover what stands behind the name of a secret, and a terminal is shown nothing that it acts on.
    for (const maxBytes of [20, 25, 30, 40])
      expect(JSON.stringify(await run('secret', { maxBytes })), String(maxBytes)).not.toContain('value')
    const plain = (await watched.run('proxy-ctl', 'run-action', 'repl', 'secret')).stdout
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
    expect(plain).not.toMatch(/[\x00-\x09\x0b-\x1f]/)
    expect(plain).toContain('red\n')
    const three = await Promise.all(['hang', 'hang', 'hang'].map((action) => run(action)))
    const ends = three.map((answer) => ('error' in answer ? answer.error.code : answer.output))
    expect(ends.filter((end) => end === 'busy')).toHaveLength(1)
    expect(ends.find((end) => end !== 'busy')).toMatchObject({
      timedOut: true,
      exitCode: null,
      output: 'begun\n',
    })
    const [node = '', ...words] = command('proxy-ctl', 'attach', 'repl', '--state-dir', watched.directory)
    const attached = spawn(node, words)
    const ended = once(attached, 'close')
    let told = ''
    for (const stream of [attached.stdout, attached.stderr]) stream.on('data', (text) => (told += text))
    const isShown = (text: string) => until(text, async () => told.includes(text) || undefined)
    await isShown('signalled\n')
    attached.stdin.write('typed\n')
    await isShown('got "typed"')
    attached.stdin.end('bye\n')
    await isShown('must not be sent to repl')
    expect(await ended).toEqual([0, null])
    expect((await watched.run('proxy-ctl', 'list-actions', 'repl')).stdout).toContain(
      'show what=TEXT [loud=FLAG]\n',
    )
  })
})
