// `watch`: a program whose files change is started anew, and what depends on it after it.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { linesOf, order } from '../support/ordered.ts'
import { programWhen, runningAs, script, sharePrograms, writePrograms } from '../support/programs.ts'
import { Resident } from '../support/resident.ts'
import { until } from '../support/tools.ts'
import { command, type Watched } from '../support/watched.ts'

const idle = 'setInterval(() => {}, 1000)'
const debounce = '100ms'

/** A program that is its file, so that a change of the file is what it does next. */
function fromFile(watched: Watched, file: string, content = idle): string[] {
  writeFileSync(watched.file(file), content)
  return [process.execPath, watched.file(file)]
}

const count = (watched: Watched, pattern: RegExp) => watched.log().match(pattern)?.length ?? 0

describe('A program whose files change', { timeout: 120_000 }, () => {
  it('is started anew, once for what comes together, and what depends on it after it', async ({
    shared: watched,
  }) => {
    const source = join(watched.directory, 'src')
    mkdirSync(join(source, 'node_modules'), { recursive: true })
    await sharePrograms(watched, [
      {
        name: 'api',
        command: fromFile(watched, 'src/api.js'),
        // Longer than the test may be kept from its turn while it writes.
        watch: { files: ['src/**/*.js', 'package.json'], ignore: ['*.test.js'], debounce: '700ms' },
      },
      { name: 'web', command: script(idle), dependsOn: ['api'] },
      { name: 'apart', command: fromFile(watched, 'apart.js'), watch: 'apart.js' },
      { name: 'stopped', command: script(idle), watch: 'src', autostart: false },
    ])
    let [api, web] = [await runningAs(watched, 'api'), await runningAs(watched, 'web')]
    const apart = await runningAs(watched, 'apart')
    /** Both run as others than before. */
    const renewed = async () => {
      api = await runningAs(watched, 'api', api)
      web = await runningAs(watched, 'web', web)
    }
    // What an editor does: another file takes its name. And what does not count.
    for (const name of ['api.test.js', 'node_modules/x.js', '.api.js.swp', 'api.js~', '#api.js#'])
      writeFileSync(join(source, name), '')
    writeFileSync(join(source, 'api.js.new'), `${idle}\n`)
    renameSync(join(source, 'api.js.new'), join(source, 'api.js'))
    await renewed()
    await watched.logLine(/api was ended.*: src\/api\.js has changed/)
    await watched.logLine(/web was ended.*: api, which it depends on, was restarted/)
    // A storm, in a folder that has just come.
    mkdirSync(join(source, 'lib', 'deep'), { recursive: true })
    for (let file = 0; file < 300; file++) writeFileSync(join(source, 'lib', 'deep', `${file}.js`), '')
    await renewed()
    // A folder that goes and comes again.
    renameSync(source, watched.file('elsewhere'))
    await until('its end is told', async () => count(watched, /api was ended/g) === 3 || undefined)
    renameSync(watched.file('elsewhere'), source)
    await programWhen(watched, 'api', ({ state }) => state === 'healthy')
    // Told together with what came back, when it comes too soon after that.
    while (!/package\.json has changed/.test(watched.log())) {
      const ended = count(watched, /api was ended/g)
      writeFileSync(watched.file('package.json'), `${ended}`)
      await until('it follows again', async () => count(watched, /api was ended/g) > ended || undefined)
    }
    expect(await programWhen(watched, 'apart', () => true)).toMatchObject({ pid: apart, plannedRestarts: 0 })
    expect(await programWhen(watched, 'stopped', () => true)).toMatchObject({ state: 'down' })
    expect(watched.log()).toMatch(/src\/lib\/deep\/\d+\.js and 299 others have changed/)
    const told = await watched.run('proxy-log', '--why', 'web')
    expect(told.stdout).toContain('api, which it depends on, was restarted')
  })

  it('while it starts, ends or fails, is started with what is there at last', async ({ shared: watched }) => {
    const slow = `process.on('SIGTERM', () => setTimeout(() => process.exit(), 600))\n${idle}\nconsole.log('begun')`
    mkdirSync(watched.file('made'))
    await sharePrograms(watched, [
      {
        name: 'page',
        command: fromFile(watched, 'web.js', slow),
        ready: { log: 'ready' },
        watch: { files: 'web.js', debounce },
      },
      {
        // It writes what it watches.
        name: 'loop',
        command: script(`require('node:fs').writeFileSync('made/loop.txt', String(Date.now()))`, idle),
        watch: { files: 'made/*.txt', debounce },
      },
      {
        name: 'build',
        command: fromFile(watched, 'build.js', ''),
        oneshot: true,
        watch: { files: 'build.js', debounce },
      },
    ])
    const write = (version: string) => {
      writeFileSync(watched.file('web.js'), `${slow}\nconsole.log('ready ${version}')`)
    }
    // It starts, and would never be ready.
    await until('it has begun', async () => {
      return readFileSync(watched.file('program_page.log'), 'utf8').includes('begun') || undefined
    })
    write('one')
    const one = await runningAs(watched, 'page')
    // It ends, and its end takes longer than the next change.
    write('two')
    await programWhen(watched, 'page', ({ state }) => state !== 'healthy')
    write('three')
    await watched.logLine(/page started successfully[\s\S]*page started successfully/)
    const three = await runningAs(watched, 'page', one)
    await until('the last version runs', async () => {
      return (
        (await linesOf(watched, 'page')).slice(-3).some(({ text }) => text === 'ready three') || undefined
      )
    })
    // It fails until somebody mends it, and nobody waits for the back-off.
    writeFileSync(watched.file('web.js'), 'process.exit(1)')
    await programWhen(watched, 'page', ({ reason }) => /exit code 1|start/.test(reason ?? ''))
    write('four')
    await runningAs(watched, 'page', three)
    await watched.logLine(/loop was restarted 5 times in a row.*loop\.txt.*put it into watch\.ignore/)
    await order(watched, 'stop', 'loop')
    // What has done its work does it again; what somebody has stopped does not.
    await until('it is done', async () => count(watched, /build has done its work/g) === 1 || undefined)
    writeFileSync(watched.file('build.js'), ' ')
    await until('it is done again', async () => count(watched, /build has done its work/g) === 2 || undefined)
    await order(watched, 'stop', 'page')
    write('five')
    writeFileSync(watched.file('build.js'), '  ')
    await until('it is done again', async () => count(watched, /build has done its work/g) === 3 || undefined)
    expect(await programWhen(watched, 'page', () => true)).toMatchObject({ state: 'down' })
  })

  it('runs on and is looked at where the system watches no more folders', async ({ watched, skip }) => {
    const limited = ['unshare', '--user', '--map-root-user', 'sh', '-c']
    const [tool = '', ...words] = limited
    const limit = 'echo 1 > /proc/sys/user/max_inotify_watches'
    if (spawnSync(tool, [...words, limit]).status !== 0) {
      console.log('NOT TESTED: the limit of watched folders: this machine has no user namespaces')
      return skip()
    }
    const other = watched.file('src')
    mkdirSync(join(other, 'a', 'b'), { recursive: true })
    const file = writePrograms(watched, [
      { name: 'web', command: script(idle), watch: { files: 'src/**', debounce } },
    ])
    const monitor = command('proxy-monitor', '--config', file, '--state-dir', watched.directory)
    const run = `${limit}; exec "$@"`
    watched.adopt(new Resident([...limited, run, 'sh', ...monitor], {}))
    const pid = await runningAs(watched, 'web')
    await watched.logLine(/web: this user may watch no more folders; raise fs\.inotify\.max_user_watches/)
    writeFileSync(join(other, 'a', 'b', 'new.txt'), '')
    await runningAs(watched, 'web', pid)
    rmSync(join(other, 'a'), { recursive: true })
    await watched.logLine(/src\/a\/b\/new\.txt has changed[\s\S]*src\/a\/b\/new\.txt has changed/)
    expect(count(watched, /may watch no more folders/g)).toBe(1)
  })
})
