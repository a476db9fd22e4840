import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { temporaryDirectory } from '../support/children.ts'
import { checkout, type Finished, run, step } from '../support/tools.ts'

interface Manifest {
  readonly version: string
  readonly bin: Readonly<Record<string, string>>
  readonly man?: readonly string[]
}

const manifest = JSON.parse(readFileSync(path.join(checkout, 'package.json'), 'utf8')) as Manifest
const commands = Object.keys(manifest.bin)

const npm = (...words: string[]): Promise<Finished> =>
  run([...environment, 'npm', ...words, '--no-audit', '--no-fund', '--fetch-retries=0'], 380_000)

/** With the certificates of this machine (vitest.config.ts), which its way to a registry may need; what npm starts needs none. */
const { CERTIFICATES_FOR_NPM: certificates } = process.env
const environment = certificates === undefined ? [] : ['env', `npm_config_cafile=${certificates}`]

/** No registry can be reached from where the test runs. */
const isOffline = ({ stderr }: Finished) =>
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT/.test(stderr)

/** Packs what `source` names: this checkout, or a git repository. */
async function pack(folder: string, ...source: string[]): Promise<Finished & { readonly archive: string }> {
  const made = await npm('pack', ...source, '--loglevel=error', '--pack-destination', folder)
  const archive = path.join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '')
  return { ...made, archive }
}

/** What npm does where no registry answers: the dependencies are the checkout's. */
async function installedByHand(prefix: string, archive: string): Promise<string> {
  const place = path.join(prefix, 'lib', 'node_modules', 'port-watchdog')
  mkdirSync(place, { recursive: true })
  assert.equal((await run(['tar', '-xzf', archive, '-C', place, '--strip-components=1'])).code, 0)
  symlinkSync(path.join(checkout, 'node_modules'), path.join(place, 'node_modules'))
  mkdirSync(path.join(prefix, 'bin'))
  for (const [name, file] of Object.entries(manifest.bin)) {
    assert.equal((await run(['chmod', '+x', path.join(place, file)])).code, 0)
    symlinkSync(path.join(place, file), path.join(prefix, 'bin', name))
  }
  return place
}

/** The packages that the programs have inside. */
function packagesInside(): Set<string> {
  const inputs: Record<string, object> = JSON.parse(
    readFileSync(path.join(checkout, 'dist', 'inputs.json'), 'utf8'),
  )
  const files = Object.values(inputs).flatMap((of) => Object.keys(of))
  return new Set(files.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []))
}

/**
 * Takes what the build does not need out of a clone: npm clones it five times, and installs all that it names with each archive that it
 * makes of it. Without one that the build needs, the build fails.
 */
async function leaveTheBuild(clone: string): Promise<void> {
  const file = path.join(clone, 'package.json')
  const {
    devDependencies,
    dependencies,
    optionalDependencies: _,
    ...rest
  } = JSON.parse(readFileSync(file, 'utf8'))
  const { esbuild } = devDependencies
  assert.ok(esbuild, 'what the build needs')
  const isInside = packagesInside()
  const kept = Object.entries(dependencies).filter(([name]) => isInside.has(name))
  const less = { ...rest, dependencies: Object.fromEntries(kept), devDependencies: { esbuild } }
  writeFileSync(file, JSON.stringify(less))
  rmSync(path.join(clone, 'test'), { recursive: true })
  const author = ['-c', 'user.name=test', '-c', 'user.email=test@localhost']
  // In the place of the commit before, so that no clone has the tests in its history.
  const words = ['commit', '--quiet', '--amend', '-am', 'Fewer tools']
  const { code, stderr } = await run(['git', '-C', clone, ...author, ...words])
  assert.equal(code, 0, stderr)
}

async function eachCommandWorks(prefix: string): Promise<void> {
  for (const name of commands) {
    const program = path.join(prefix, 'bin', name)
    assert.deepEqual(
      await run([program, '--version']),
      { code: 0, stdout: `${manifest.version}\n`, stderr: '' },
      name,
    )
    const help = await run([program, '--help'])
    assert.equal(help.code, 0, name)
    assert.match(help.stdout, new RegExp(`^Usage: ${name}`))
  }
}

async function install(t: TestContext): Promise<{ prefix: string; place: string }> {
  const folder = temporaryDirectory(t)
  const prefix = path.join(folder, 'prefix')
  const { archive, code, stderr } = await pack(folder)
  assert.equal(code, 0, stderr)
  const made = await npm('install', '--global', '--ignore-scripts', '--prefix', prefix, archive)
  if (made.code === 0) return { prefix, place: path.join(prefix, 'lib', 'node_modules', 'port-watchdog') }
  assert.ok(isOffline(made), made.stderr)
  void t.annotate('no registry: installed with the dependencies of this checkout')
  return { prefix, place: await installedByHand(prefix, archive) }
}

// npm installs all packages for each archive that it makes of a clone: minutes, beside other tests.
describe('package', { timeout: 400_000 }, () => {
  it('a package made from a clone without a build has no program', async (t) => {
    const { prefix, place } = await install(t)
    await eachCommandWorks(prefix)

    await step('everything that the documentation names is in it, and nothing else', async () => {
      const needed = [
        'README.md',
        'CHANGELOG.md',
        'LICENSE',
        'dist/bin/tcp-proxy.cjs',
        'schema/port-watchdog.schema.json',
        'schema/status.schema.json',
        'scripts/install-systemd',
        'systemd/proxy-monitor.service',
        'systemd/user/proxy-monitor.service',
        'systemd/port-watchdog-forward@.socket',
        ...(manifest.man ?? []),
      ]
      for (const file of needed) assert.ok(existsSync(path.join(place, file)), file)
      assert.deepEqual(
        readdirSync(path.join(place, 'dist'))
          .sort()
          .filter((name) => name !== 'man'),
        ['bin'],
      )
      const files = readdirSync(place, { recursive: true, encoding: 'utf8' }).filter(
        (name) => !name.startsWith('node_modules') && statSync(path.join(place, name)).isFile(),
      )
      assert.deepEqual(
        files.filter((name) => /\.ts$|\.tsbuildinfo$|^test|\.test\./.test(name)),
        [],
      )
      const bytes = files.reduce((sum, name) => sum + statSync(path.join(place, name)).size, 0)
      // What the commands share is there once for each, so that each opens one file.
      assert.ok(bytes < 9 << 20, `${bytes} bytes`)
    })

    await step('the services of a user and of the system can be installed from it', async () => {
      for (const [scope, ...words] of [['user', '--user'], ['system']] as const) {
        const home = temporaryDirectory(t)
        const units = path.join(home, 'units')
        const program = path.join(home, 'lib', 'port-watchdog')
        const environment = {
          HOME: home,
          PORT_WATCHDOG_UNIT_DIR: units,
          PORT_WATCHDOG_TARGET_DIR: path.join(home, 'targets'),
          PORT_WATCHDOG_PROGRAM_DIR: program,
        }
        const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
        const umbrella = path.join(prefix, 'bin', 'port-watchdog')
        const installed = await run(
          ['env', ...variables, umbrella, 'install-service', '--no-start', ...words],
          60_000,
        )
        assert.equal(installed.code, 0, installed.stderr)
        const unit = readFileSync(path.join(units, 'proxy-monitor.service'), 'utf8')
        const root = scope === 'system' && process.getuid?.() === 0 ? program : place
        const monitor = path.join(root, 'dist', 'bin', 'proxy-monitor.cjs')
        assert.ok(unit.includes(monitor), unit)
        assert.equal((await run([process.execPath, monitor, '--version'])).code, 0)
      }
    })
  })

  it('a package made from a git repository has no program', async (t) => {
    const folder = temporaryDirectory(t)
    const clone = path.join(folder, 'clone')
    assert.equal(
      (await run(['git', 'clone', '--quiet', '--depth=1', `file://${checkout}`, clone], 60_000)).code,
      0,
    )
    await leaveTheBuild(clone)
    const made = await pack(folder, `git+file://${clone}`)
    if (made.code !== 0 && isOffline(made)) return t.skip('no registry can be reached')
    assert.equal(made.code, 0, made.stderr)
    const listed = await run(['tar', '-tzf', made.archive])
    for (const file of Object.values(manifest.bin))
      assert.ok(listed.stdout.includes(`package/${file}\n`), file)

    await step(
      'a global install from git, which npm cannot do yet, leaves nothing behind and says what to do',
      async () => {
        const prefix = path.join(folder, 'prefix')
        const installed = await npm('install', '--global', '--prefix', prefix, `git+file://${clone}`)
        // An npm in which this is mended.
        if (installed.code === 0) return eachCommandWorks(prefix)
        assert.match(installed.stderr, /run npm pack GIT-URL, then npm install --global FILE\.tgz/)
      },
    )
  })
})
