import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startMonitor, type WantedForward } from './monitored.ts'
import type { Resident } from './resident.ts'
import { freePort } from './tools.ts'
import type { Watched } from './watched.ts'

export interface ServedMcp {
  readonly monitor: Resident
  readonly port: number
  readonly url: URL
  /** Makes a key with the words of `proxy-ctl key create`. */
  readonly key: (name: string, ...words: string[]) => Promise<string>
}

/** A monitor that serves HTTP. */
export async function serveMcp(watched: Watched, forwards: readonly WantedForward[]): Promise<ServedMcp> {
  const port = await freePort()
  const monitor = await startMonitor(watched, { forwards, words: ['--http', `127.0.0.1:${port}`] })
  await monitor.line(/The API is at/)
  return {
    monitor,
    port,
    url: new URL(`http://127.0.0.1:${port}/mcp`),
    key: async (name, ...words) => {
      const { code, stdout, stderr } = await watched.run('proxy-ctl', 'key', 'create', name, ...words)
      if (code !== 0) throw new Error(stderr)
      return stdout.trim()
    },
  }
}

/** A server that passes requests on with a key, and changes nothing else: for clients that cannot send one. */
export async function withKey(
  port: number,
  key: string,
): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming
    const passed = request(
      {
        host: '127.0.0.1',
        port,
        method,
        path: url,
        headers: { ...headers, authorization: `Bearer ${key}` },
        agent: false,
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(outgoing)
      },
    )
    passed.on('error', () => outgoing.destroy())
    outgoing.on('close', () => passed.destroy())
    incoming.pipe(passed)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
  return { port: (server.address() as AddressInfo).port, server }
}
