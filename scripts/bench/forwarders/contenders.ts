// Who runs, and how each is started: as one process where it can, on loopback, logging no connection.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, type Group, startServer, waitForPort } from './processes.ts'

export type Kind = 'ours' | 'defaults' | 'tuned' | 'floor' | 'direct'

export interface Contender {
  readonly name: string
  readonly kind: Kind
  /** A process or thread a connection: too heavy for the figures that hold or open thousands. */
  readonly heavy?: boolean
  /** Takes part only there: `bulk` = it differs from its fellow nowhere else; `small` = it can carry small messages only; `gate` = it stands
   * beside those with a login. */
  readonly only?: 'bulk' | 'small' | 'gate'
  /** The command line, after writing into `folder` what it needs there. Undefined = it only takes part with a login, or is no process. */
  readonly command?: Command
  /** The same with a login in front of the target; undefined = it has none. */
  readonly gated?: Command
}

type Command = (listen: number, target: number, folder: string) => readonly string[]

/** A started contender. `direct` has no process: its port is the target's own. */
export interface Forwarder {
  readonly contender: Contender
  readonly port: number
  readonly group: Group | undefined
}

export const OURS = 'port-watchdog'
export const NGINX = 'nginx'
/** Ours without a login, beside those that have one. */
export const PLAIN = 'plain forward'
/** What opens our gate. */
export const GATE_TOKEN = 'a token of this bench: no secret at all'.replaceAll(' ', '-')
/** An older build of ours, for a comparison in the same rounds. */
export const BEFORE = 'port-watchdog before'

export interface Setup {
  readonly root: string
  /** The buffer size in bytes that `tuned` means. */
  readonly buffer: number
  readonly ourArgs: readonly string[]
  /** Another checkout of this project, built: runs beside as `port-watchdog before`. */
  readonly before?: string | undefined
}

export function contenders({ root, buffer, ourArgs, before }: Setup): Contender[] {
  const built = join(root, 'dist')
  return [
    { name: OURS, kind: 'ours', command: forwarderOf(root, ourArgs), gated: gateOf(root, ourArgs) },
    { name: PLAIN, kind: 'floor', only: 'gate', gated: forwarderOf(root, ourArgs) },
    ...(before === undefined
      ? []
      : [
          {
            name: BEFORE,
            kind: 'floor' as const,
            command: forwarderOf(before, ourArgs),
            gated: gateOf(before, ourArgs),
          },
        ]),
    { name: 'haproxy', kind: 'defaults', command: haproxy() },
    { name: NGINX, kind: 'defaults', command: nginx(), gated: nginxAsking() },
    { name: 'socat', kind: 'defaults', heavy: true, command: socat() },
    { name: 'haproxy tuned', kind: 'tuned', command: haproxy([`tune.bufsize ${buffer}`]) },
    {
      name: 'haproxy splice-auto',
      kind: 'tuned',
      only: 'bulk',
      command: haproxy([`tune.bufsize ${buffer}`, `tune.pipesize ${buffer}`], ['option splice-auto']),
    },
    {
      name: 'haproxy splice',
      kind: 'tuned',
      only: 'bulk',
      command: haproxy(
        [`tune.bufsize ${buffer}`, `tune.pipesize ${buffer}`],
        ['option splice-request', 'option splice-response'],
      ),
    },
    {
      name: 'nginx tuned',
      kind: 'tuned',
      command: nginx([`proxy_buffer_size ${buffer};`]),
      gated: nginxAsking(true),
    },
    {
      name: 'socat tuned',
      kind: 'tuned',
      heavy: true,
      command: socat(['-b', `${buffer}`], ',nodelay'),
    },
    {
      name: 'node pipe',
      kind: 'floor',
      command: (listen, target) => [
        ...[process.execPath, join(built, 'scripts/bench/forwarders/floor/pipe.js')],
        ...[`${listen}`, `${target}`],
      ],
    },
    {
      name: 'node handles',
      kind: 'floor',
      only: 'small',
      command: (listen, target) => [
        ...[process.execPath, join(built, 'scripts/bench/forwarders/floor/handles.js')],
        ...[`${listen}`, `${target}`],
      ],
    },
    {
      name: 'python threads',
      kind: 'floor',
      heavy: true,
      command: (listen, target) => [
        ...['python3', join(root, 'scripts/bench/forwarders/floor/threaded.py')],
        ...[`${listen}`, `${target}`],
      ],
    },
    { name: 'direct', kind: 'direct' },
  ]
}

/** The forwarder that `checkout` has built. */
function forwarderOf(checkout: string, ourArgs: readonly string[]): Command {
  const program = join(checkout, 'dist/bin/tcp-proxy.cjs')
  return (listen, target, folder) => [
    ...[process.execPath, program, `${listen}`, '127.0.0.1', `${target}`],
    ...['--bind', '127.0.0.1', '--state-dir', folder, ...ourArgs],
  ]
}

/** Its gate, with a token that is known here. */
function gateOf(checkout: string, ourArgs: readonly string[]): Command {
  const command = forwarderOf(checkout, [...ourArgs, '--gate', 'token'])
  return (listen, target, folder) => {
    writeFileSync(join(folder, 'gate_token'), `${GATE_TOKEN}\n`, { mode: 0o600 })
    return command(listen, target, folder)
  }
}

/**
 * One worker that asks the target about each request before it passes it on.
 * @param keeps connections to the target, which it does not by default.
 */
function nginxAsking(keeps = false): Command {
  return (listen, target, folder) => {
    const file = join(folder, 'nginx.conf')
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    const kept = ['proxy_http_version 1.1;', 'proxy_set_header Connection "";', 'proxy_buffers 16 64k;']
    writeFileSync(
      file,
      `${nginxHead(folder)}
http {
  access_log off;
  keepalive_requests 1000000000;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  ${keeps ? kept.join('\n  ') : ''}
  upstream target { server 127.0.0.1:${target}; ${keeps ? 'keepalive 64;' : ''} }
  server {
    listen 127.0.0.1:${listen};
    location = /auth {
      internal;
      proxy_pass http://target/auth;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      ${keeps ? kept.slice(1, 2).join('') : ''}
    }
    location / { auth_request /auth; proxy_pass http://target; }
  }
}
`,
    )
    return nginxCommand(folder, file)
  }
}

/** HAProxy asks for timeouts in every configuration; these are too long to matter. */
function haproxy(globals: readonly string[] = [], options: readonly string[] = []): Command {
  return (listen, target, folder) => {
    const file = join(folder, 'haproxy.cfg')
    writeFileSync(
      file,
      `global
  nbthread 1
  ${globals.join('\n  ')}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  ${options.join('\n  ')}
listen bench
  bind 127.0.0.1:${listen}
  server target 127.0.0.1:${target}
`,
    )
    return ['haproxy', '-db', '-f', file]
  }
}

/** One worker. Its default of 512 connections would not hold what the idle figure opens. */
function nginx(options: readonly string[] = []): Command {
  return (listen, target, folder) => {
    const file = join(folder, 'nginx.conf')
    writeFileSync(
      file,
      `${nginxHead(folder)}
stream {
  server {
    listen 127.0.0.1:${listen};
    proxy_pass 127.0.0.1:${target};
    ${options.join('\n    ')}
  }
}
`,
    )
    return nginxCommand(folder, file)
  }
}

const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'

/** What every nginx here begins with, the target's as well: in the foreground, one worker, nothing outside `folder`. */
export function nginxHead(folder: string): string {
  return `${existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};` : ''}
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log error;
events { worker_connections 8192; }`
}

export function nginxCommand(folder: string, file: string): readonly string[] {
  return ['nginx', '-p', folder, '-e', join(folder, 'nginx.log'), '-c', file]
}

/** Its default backlog of 5 would have most of 32 clients wait for TCP's own retry, a second later. */
function socat(words: readonly string[] = [], bothWords = ''): Command {
  return (listen, target) => [
    ...['socat', ...words],
    `TCP4-LISTEN:${listen},bind=127.0.0.1,reuseaddr,fork,backlog=511${bothWords}`,
    `TCP4:127.0.0.1:${target}${bothWords}`,
  ]
}

/** `folder` must exist and belong to this forwarder alone. */
export async function startForwarder(
  contender: Contender,
  target: number,
  folder: string,
  isGated: boolean,
): Promise<Forwarder> {
  const command = isGated ? contender.gated : contender.command
  if (command === undefined) return { contender, port: target, group: undefined }
  const port = await freePort()
  const logFile = join(folder, 'output.log')
  const group = startServer(command(port, target, folder), logFile)
  try {
    await waitForPort(port, group, logFile)
  } catch (error) {
    await group.stop()
    throw error
  }
  return { contender, port, group }
}
