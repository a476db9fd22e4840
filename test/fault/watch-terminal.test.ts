import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { PseudoTerminal } from '../support/pseudo-terminal.ts'
import { freePort, until } from '../support/tools.ts'
import { command, echoServer, Watched } from '../support/watched.ts'

const alternate = '\u001b[?1049h'
const main = '\u001b[?1049l'

/** With one monitor for all tests, whose looks change nothing: it has a forward that is well, and one that waits. */
let watched: Watched
let echo: Awaited<ReturnType<typeof echoServer>>

beforeAll(async () => {
  watched = new Watched()
  echo = await echoServer()
  const [port, waiting, unused] = [await freePort(), await freePort(), await freePort()]
  await watched.monitor([
    { name: 'web', listen: port, target: `127.0.0.1:${echo.port}` },
    { name: 'later', listen: waiting, target: `127.0.0.1:${unused}` },
  ])
  await watched.statusWhen('healthy', ({ summary }) => summary.healthy === 1 && summary.waiting === 1)
})
afterAll(async () => {
  await watched.remove()
  await echo.close()
})

const watching = (more: object = {}) =>
  new PseudoTerminal(command('proxy-status', '--watch', '500ms', '--state-dir', watched.directory), more)

/** As in proc(5): `T` = stopped. */
function stateOf(pid: number): string | undefined {
  return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]
}

describe('proxy-status --watch on a terminal', () => {
  it('shows pages by keys, and leaves what was there before, and the last picture', async () => {
    const terminal = watching({ after: 'stty -a' })
    await terminal.until(/web .*healthy[\s\S]*later .*waiting[\s\S]*q quit/)
    // Worst first; forwards that wait come in the order of their ports.
    terminal.press('l')
    await terminal.until(/Listening on[\s\S]*log of (?:web|later)/)
    terminal.press('\u001b')
    await terminal.until(/web .*healthy[\s\S]*arrows select/)
    terminal.press('\u001b[B')
    terminal.press('\u001b[A')
    terminal.press('\r')
    await terminal.until(/kernel start time[\s\S]*forward of/)
    terminal.press('w')
    await terminal.until(/restarted[\s\S]*why of/)
    terminal.press('h')
    await terminal.until(/AVAILABLE[\s\S]*history of/)
    terminal.press('q')
    const { code, output } = await terminal.ended
    assert.equal(code, 0, output)
    assert.equal(output.split(alternate).length, 2, 'the alternate screen is taken once')
    const [, after = ''] = output.split(main)
    assert.match(stripVTControlCharacters(after), /port-watchdog RUNNING[\s\S]*web +healthy/)
    assert.match(after, / icanon/)
    assert.match(after, / echo /)
  })

  it('shows the list as soon as a page is left, and loses no key that comes before its page', async () => {
    const terminal = watching()
    await terminal.until(/\?1049h/)
    // Before the first look: the second forward, and its log.
    terminal.press('\u001b[Bl')
    const before = await terminal.until(/log of (?:web|later)/)
    const [, second] = /log of (web|later)/.exec(stripVTControlCharacters(before)) ?? []
    await terminal.until(/Listening on/)
    terminal.press('\u001b')
    await terminal.until(/arrows select/)
    terminal.press('h')
    await terminal.until(new RegExp(`AVAILABLE[\\s\\S]*history of ${second}`))
    // Up, down, up within the list that has just come back: none may lose the one that is chosen.
    terminal.press('\u001b')
    const list = await terminal.until(/arrows select/)
    assert.match(stripVTControlCharacters(list), /web .*healthy[\s\S]*arrows select/, 'with its own words')
    terminal.press('\u001b[A\u001b[Bw')
    await terminal.until(new RegExp(`why of ${second}`))
    terminal.press('q')
    assert.equal((await terminal.ended).code, 0)
  })

  it('gives the terminal back when it is ended by a signal, and when it crashes', async () => {
    const crash = watched.file('crash.mjs')
    writeFileSync(crash, 'process.on("SIGUSR2", () => { throw new Error("boom") })')
    for (const [signal, last] of [
      ['SIGTERM', /RUNNING/],
      ['SIGHUP', /RUNNING/],
      ['SIGUSR2', /boom/],
    ] as const) {
      const terminal = watching({
        after: 'stty -a',
        environment: { NODE_OPTIONS: `--import=${crash}` },
      })
      await terminal.until(/q quit/)
      process.kill(terminal.pid, signal)
      const { output } = await terminal.ended
      const [before = '', after = ''] = output.split(main)
      assert.ok(before.endsWith('\u001b[?25h'), signal)
      assert.match(after, last, signal)
      assert.match(after, / icanon/, signal)
    }
  })

  it('gives the terminal back while it is suspended, and takes it again afterwards', async () => {
    const terminal = watching()
    await terminal.until(/q quit/)
    process.kill(terminal.pid, 'SIGTSTP')
    await terminal.until(/\?1049l/)
    // One that continues before it has stopped would stop for good.
    await until('it has stopped', async () => (stateOf(terminal.pid) === 'T' ? true : undefined))
    process.kill(terminal.pid, 'SIGCONT')
    await terminal.until(/\?1049h[\s\S]*q quit/)
    terminal.press('\u0003')
    assert.equal((await terminal.ended).code, 0)
  })

  it('draws anew when the terminal is resized', async () => {
    const terminal = watching({ columns: 130 })
    await terminal.until(/LAST 24 H[\s\S]*q quit/)
    execFileSync('stty', ['-F', readlinkSync(`/proc/${terminal.pid}/fd/1`), 'cols', '60'])
    await terminal.until(/NAME +STATE +OPEN AT +OPEN/)
    terminal.press('q')
    await terminal.ended
  })
})
