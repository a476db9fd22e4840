// The PROXY protocol with nginx on either side.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { describe } from 'vitest'
import { it } from '../support/fixtures.ts'
import { openForwarder, openTarget } from '../support/forwarders.ts'
import { receive } from '../support/relay-peers.ts'
import { Resident } from '../support/resident.ts'
import { freePort, skipFor, until } from '../support/tools.ts'
import type { Watched } from '../support/watched.ts'

const program = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((file) => existsSync(file))
const streamModule = '/usr/lib/nginx/modules/ngx_stream_module.so'
const why =
  program === undefined || !existsSync(streamModule)
    ? 'nginx with its stream module is not installed: run scripts/install-test-tools'
    : false

/** Runs nginx in the foreground, in a folder of the test's own, until it listens on the port. */
async function startNginx(watched: Watched, port: number, block: string): Promise<void> {
  const folder = watched.file(`nginx-${port}`)
  mkdirSync(folder)
  const file = `${folder}/nginx.conf`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder};`,
  )
  const text = block.replace('http {', `http { access_log off; ${temporary.join(' ')}`)
  // The same user for its worker, who else could not write here.
  const head = `load_module ${streamModule}; daemon off; master_process off; pid ${folder}/pid; error_log stderr;`
  writeFileSync(file, `${head}\nevents {}\n${text}\n`)
  const nginx = watched.adopt(
    new Resident([program ?? 'nginx', '-c', file, '-p', folder, '-e', 'stderr'], {}),
  )
  await until(`nginx on port ${port}`, async () => {
    if (await answers(port)) return true
    throw new Error(nginx.output)
  })
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(socket.destroy() && true))
    socket.on('error', () => resolve(false))
  })
}

/** A client that comes from an address of its own, and says so much at once. */
function client(port: number, localAddress: string): net.Socket {
  return net.connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true })
}

describe('nginx', { skip: skipFor(why) }, () => {
  for (const version of ['v1', 'v2'] as const) {
    it(`believes us, ${version}: listen … proxy_protocol`, async ({ watched }) => {
      const port = await freePort()
      const told = '"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port $request_uri\\n"'
      await startNginx(
        watched,
        port,
        `http { server { listen 127.0.0.1:${port} proxy_protocol; return 200 ${told}; } }`,
      )
      const forwarder = await openForwarder(port, { sendProxy: version })
      const visitor = client(forwarder.port, '127.0.0.7')
      visitor.write('GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      const answer = (await receive(visitor)).bytes.toString()
      assert.match(answer, new RegExp(`\n127\\.0\\.0\\.7 ${visitor.localPort} ${forwarder.port} /page\n$`))
      visitor.destroy()
      await forwarder.close()
    })
  }

  it('is believed: stream, proxy_protocol on', async ({ watched }) => {
    const target = await openTarget()
    const forwarder = await openForwarder(target.port, {
      acceptProxy: ['127.0.0.1/32'],
      allow: ['127.0.0.0/8'],
      sendProxy: 'v1',
    })
    const port = await freePort()
    await startNginx(
      watched,
      port,
      `stream { server { listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${forwarder.port}; proxy_protocol on; } }`,
    )
    const visitor = client(port, '127.0.0.9')
    visitor.write('question')
    // Asked once whether it is up: that connection may have come through as well.
    let text = ''
    let socket: net.Socket
    do {
      socket = await target.next()
      text = await firstBytes(socket)
    } while (!text.includes('question'))
    const header = `PROXY TCP4 127\\.0\\.0\\.9 127\\.0\\.0\\.1 ${visitor.localPort} ${port}\r\n`
    assert.match(text, new RegExp(`^${header}question$`))
    socket.end('answer')
    assert.equal((await receive(visitor)).bytes.toString(), 'answer')
    visitor.destroy()
    await forwarder.close()
    await target.close()
  })
})

/** What comes until there is a question, or nothing more. */
function firstBytes(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
      if (text.includes('question')) resolve(text)
    })
    socket.on('close', () => resolve(text))
    socket.on('end', () => resolve(text))
  })
}
