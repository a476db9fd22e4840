// docs/deployment.md: its nginx block, its configuration and its curl lines, as they stand there.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { describe, expect } from 'vitest'
import { parse } from 'yaml'
import { Authority } from '../support/certificates.ts'
import { it } from '../support/fixtures.ts'
import { runningAs, script, startPrograms } from '../support/programs.ts'
import { Resident } from '../support/resident.ts'
import { checkout, freePort, run, skipFor, until } from '../support/tools.ts'

const nginx = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((file) => existsSync(file))
const hasCurl = ['/usr/bin/curl', '/usr/local/bin/curl'].some((file) => existsSync(file))
const why =
  nginx === undefined || !hasCurl ? 'nginx or curl is not installed: run scripts/install-test-tools' : false
const name = 'watchdog.example.com'

/** The blocks of one language of the page, in its order. */
function blocks(language: string): string[] {
  const page = readFileSync(path.join(checkout, 'docs/deployment.md'), 'utf8')
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ([, text = '']) => text,
  )
}

describe('The API behind nginx, as docs/deployment.md sets it up', { skip: skipFor(why) }, () => {
  it('answers by its name alone, tells events when they happen, and serves MCP', async ({ watched }) => {
    const [api, port] = [await freePort(), await freePort()]
    const { http } = parse(blocks('yaml')[0] ?? '') as { http: { listen: string } }
    expect(http.listen).toBe('127.0.0.1:6280')
    const program = { name: 'web', command: script('setInterval(() => {}, 1000)') }
    const monitor = await startPrograms(watched, [program], {
      http: { ...http, listen: `127.0.0.1:${api}` },
    })
    await monitor.line(/The API is at/)
    const authority = await Authority.create()
    const pair = await authority.issue({ name, alternatives: `DNS:${name}` })
    const folder = watched.file('nginx')
    mkdirSync(folder)
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (one) => `${one}_temp_path ${folder};`,
    )
    const block = (blocks('nginx')[0] ?? '')
      .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
      .replace('/etc/ssl/watchdog.crt', pair.cert)
      .replace('/etc/ssl/private/watchdog.key', pair.key)
      .replace('127.0.0.1:6280', `127.0.0.1:${api}`)
    const head = `daemon off; master_process off; pid ${folder}/pid; error_log stderr;\nevents {}\n`
    writeFileSync(`${folder}/nginx.conf`, `${head}http { access_log off; ${temporary.join(' ')}\n${block}}\n`)
    const server = watched.adopt(
      new Resident([nginx ?? 'nginx', '-c', `${folder}/nginx.conf`, '-p', folder, '-e', 'stderr'], {}),
    )
    await until('nginx listens', async () => (await answers(port)) || Promise.reject(Error(server.output)))

    const curl = ['--silent', '--cacert', authority.ca.cert, '--resolve', `${name}:${port}:127.0.0.1`]
    const here = (text: string) => text.replaceAll(`https://${name}`, `https://${name}:${port}`)
    // Else it is not ready yet.
    const before = await runningAs(watched, 'web')
    // Each line with what it prints, as its comment says.
    const lines = (blocks('sh')[1] ?? '').trim().split('\n')
    expect(lines).toHaveLength(4)
    for (const line of lines) {
      const [typed = '', said = ''] = line.split(/\s+# /)
      const words = `curl ${curl.join(' ')} ${here(typed).replace(/^curl /, '')}`
      const printed = execFileSync('sh', ['-c', words], { encoding: 'utf8' }).trim()
      expect(printed, line).toBe(said.split(': ')[0]?.startsWith('{') ? said : said.replace(/:.*/, ''))
    }
    const made = await watched.run('proxy-ctl', 'key', 'create', 'ci', '--scope', 'read,control')
    const key = made.stdout.trim()
    const shown = ['-H', `Authorization: Bearer ${key}`]
    const events = spawn('curl', [...curl, '-N', ...shown, `https://${name}:${port}/api/events`])
    try {
      let told = ''
      events.stdout.setEncoding('utf8').on('data', (text: string) => {
        told += text
      })
      const order = ['-d', '{"units":["web"]}', '-H', 'Content-Type: application/json']
      const restart = [...curl, ...shown, ...order, `https://${name}:${port}/api/restart`]
      expect(JSON.parse((await run(['curl', ...restart])).stdout)).toMatchObject({ done: true })
      await runningAs(watched, 'web', before)
      await until('the events of the restart', async () => /"order":"restart"/.test(told) || undefined)
      expect(events.exitCode, 'the stream goes on').toBe(null)
    } finally {
      events.kill()
    }
    const message = {
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: {
        protocolVersion: '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'curl', version: '1.0.0' },
      },
    }
    const accept = [
      '-H',
      'Accept: application/json, text/event-stream',
      '-H',
      'Content-Type: application/json',
    ]
    const mcp = [...curl, ...shown, ...accept, '-d', JSON.stringify(message), `https://${name}:${port}/mcp`]
    expect((await run(['curl', ...mcp])).stdout).toContain('"serverInfo"')
    authority.remove()
  })
})

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket.destroy() && true))
    socket.on('error', () => resolve(false))
  })
}
