import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'vitest'
import { optionList } from '../../src/config/option-table.ts'
import { checkout, run } from '../support/tools.ts'

const folder = path.join(checkout, 'dist', 'man')
const manifest = JSON.parse(readFileSync(path.join(checkout, 'package.json'), 'utf8')) as { man: string[] }

describe('manual pages', async () => {
  mkdirSync(folder, { recursive: true })
  const made = await run([process.execPath, path.join(checkout, 'dist', 'scripts', 'write-manual.js')])
  assert.equal(made.code, 0, made.stderr)
  const pages = readdirSync(folder).sort()

  it('are those that the package names, one of each command and of the configuration', () => {
    assert.deepEqual(manifest.man.map((file) => path.basename(file)).sort(), pages)
    for (const name of [
      'port-watchdog.1',
      'tcp-proxy.1',
      'proxy-monitor.1',
      'proxy-status.1',
      'proxy-log.1',
      'proxy-ctl.1',
    ]) {
      assert.ok(pages.includes(name), name)
    }
  })

  it('are formatted without a warning', async () => {
    for (const page of pages) {
      const { code, stderr } = await run([
        'groff',
        '-man',
        '-ww',
        '-Kutf8',
        '-Tutf8',
        '-z',
        path.join(folder, page),
      ])
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, page)
    }
  })

  it('name every option of a forward, on the command line and in the configuration', async () => {
    const shown = async (page: string) => {
      const { stdout } = await run(['env', 'MANWIDTH=100', 'man', '-l', path.join(folder, page)])
      return stdout
    }
    const command = await shown('tcp-proxy.1')
    const configuration = await shown('port-watchdog.yaml.5')
    for (const { flag, key } of optionList) {
      assert.ok(command.includes(`       ${flag}`), flag)
      assert.match(configuration, new RegExp(`^ {7}${key}\\b`, 'm'))
    }
    for (const heading of ['SIGNALS', 'EXIT CODES', 'EXAMPLES', 'SEE ALSO'])
      assert.match(command, new RegExp(`^${heading}`, 'm'))
  })
})
