// What speaks HTTP: wrk in front, nginx with one worker behind.
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { nginxCommand, nginxHead } from '../contenders.ts'
import { freePorts, runTool, startServer, waitForPort } from '../processes.ts'
import { MIB } from './figure.ts'

const FILE_BYTES = 8 * MIB

export async function web(
  ports: number,
  folder: string,
): Promise<{ targets: number[]; close(): Promise<void> }> {
  const targets = await freePorts(ports)
  const home = join(folder, 'web')
  mkdirSync(home)
  for (const [name, bytes] of [
    ['file', FILE_BYTES],
    ['endless', 1024 * MIB],
    ['large', 300_000],
    ['small', 200],
  ] as const) {
    writeFileSync(join(home, name), '')
    truncateSync(join(home, name), bytes)
  }
  const file = join(home, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    file,
    `${nginxHead(home)}
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  send_timeout 1h;
  ${temporary.map((name) => `${name}_temp_path ${home}/${name};`).join('\n  ')}
  server {
    ${targets.map((port) => `listen 127.0.0.1:${port};`).join('\n    ')}
    root ${home};
    location = / { return 200 "ok"; }
    location = /auth { return 204; }
  }
}
`,
  )
  const logFile = join(home, 'nginx.log')
  const group = startServer(nginxCommand(home, file), logFile)
  for (const port of targets) await waitForPort(port, group, logFile)
  return { targets, close: () => group.stop() }
}

const wrkSummary = z.object({
  requests: z.number().positive(),
  bytes: z.number(),
  seconds: z.number(),
  p50: z.number(),
  p99: z.number(),
  errors: z.number(),
})

export async function wrk(
  script: string,
  url: string,
  connections: number,
  seconds: number,
  words: readonly string[] = [],
) {
  const printed = await runTool(
    ['wrk', '-t', '1', '-c', `${connections}`, '-d', `${seconds}s`, '-s', script, ...words, url],
    seconds + 10,
  )
  const line = printed.split('\n').find((text) => text.startsWith('{')) ?? ''
  const summary = wrkSummary.parse(JSON.parse(line))
  if (summary.errors * 100 > summary.requests) {
    throw new Error(`${summary.errors} errors beside ${summary.requests} answers`)
  }
  return summary
}

export const CONNECTIONS = 32

/**
 * Load before each run, which is not counted. Everybody stands still during the others' turns, and a system that takes an idle program's
 * pages from the caches is not what is measured.
 */
export const LEAD_IN_SECONDS = 1
