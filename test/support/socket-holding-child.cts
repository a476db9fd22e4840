/**
 * Preloaded (`--require`) into every Node of a monitor: a forwarder starts a child as soon as it listens, as one with workers does. The
 * child holds the listening socket, ignores SIGTERM, and does nothing else. With `--conditions=leaves` it leaves for a session of its own.
 * CommonJS without imports: each process would take twice as long to start with Node's loader of modules.
 */
const { spawn } = process.getBuiltinModule('node:child_process')
const { readdirSync, readFileSync, readlinkSync } = process.getBuiltinModule('node:fs')

const [, program = '', port] = process.argv
const script = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)'

function targetOf(descriptor: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`)
  } catch {
    return ''
  }
}

/** The listening socket of the port (proc(5): /proc/net/tcp). */
function listeningSocket(): number | undefined {
  const hex = Number(port).toString(16).toUpperCase().padStart(4, '0')
  const line = new RegExp(`^ *\\d+: \\w+:${hex} \\w+:0000 0A (?:\\S+ +){5}(\\d+)`, 'gm')
  const found = [...readFileSync('/proc/self/net/tcp', 'latin1').matchAll(line)]
  const sockets = found.map(([, inode]) => `socket:[${inode}]`)
  return readdirSync('/proc/self/fd')
    .map(Number)
    .find((one) => sockets.includes(targetOf(one)))
}

function startWhenListening(): void {
  const descriptor = listeningSocket()
  if (descriptor === undefined) {
    setTimeout(startWhenListening, 50).unref()
    return
  }
  const detached = process.env.NODE_OPTIONS?.includes('--conditions=leaves') ?? false
  // Its last word makes it one of ours.
  spawn('python3', ['-c', script, program], {
    detached,
    stdio: ['ignore', 'ignore', 'ignore', descriptor],
  }).unref()
}

if (program.endsWith('/tcp-proxy.cjs')) startWhenListening()
