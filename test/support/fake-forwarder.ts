import { renameSync, writeFileSync } from 'node:fs'
import { identityOf } from '../../src/process/identity.ts'
import { Resident } from './resident.ts'
import type { Watched } from './watched.ts'

/** How a control socket can be held by something that does not do its work. */
export type ControlManner =
  /** Accepts, reads, never answers. */
  | 'silent'
  /** Answers one byte at a time, and never ends its line. */
  | 'slow-loris'
  /** Answers without end and without a line. */
  | 'flood'
  /** Resets each connection at the first byte of a request. */
  | 'reset'
  /** Answers every request with what is no answer to it. */
  | 'garbage'

const manners: Record<ControlManner, string> = {
  silent: `s.resume()`,
  'slow-loris': `s.once('data', () => setInterval(() => s.write(' '), 100))`,
  flood: `s.once('data', () => { const more = () => s.write(Buffer.alloc(262144, 120), () => s.destroyed || setTimeout(more, 5)); more() })`,
  // What is closed with bytes unread is reset.
  reset: `s.on('readable', () => s.destroy())`,
  garbage: `s.on('data', (d) => { for (const l of String(d).trim().split('\\n')) s.write(JSON.stringify({ id: JSON.parse(l).id, ok: true, result: { options: '{}' } }) + '\\n') })`,
}

const script = (socket: string, manner: ControlManner) => `
  process.on('SIGTERM', () => {})
  require('node:net').createServer((s) => { s.on('error', () => {}); ${manners[manner]} })
    .listen(${JSON.stringify(socket)}, () => console.log('ready'))`

/**
 * A process that holds the control socket of a port, ignores SIGTERM and does nothing else.
 * @param named whether its PID file says, with proof, that it is the forwarder.
 */
export async function fakeForwarder(
  watched: Watched,
  port: number,
  manner: ControlManner,
  named: boolean,
): Promise<Resident> {
  const socket = watched.file(`tcp_proxy_${port}.sock`)
  const fake = watched.adopt(new Resident([process.execPath, '--eval', script(socket, manner)], {}))
  await fake.line(/ready/)
  if (named) {
    const file = watched.file(`tcp_proxy_${port}.pid`)
    writeFileSync(`${file}.new`, `${fake.pid}\n${JSON.stringify(identityOf(fake.pid))}\n`)
    renameSync(`${file}.new`, file)
  }
  return fake
}
