import { spawn } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { linux } from '../../src/os/linux/index.ts'

/**
 * Preloaded (`--import`) into every Node of a monitor: a forwarder starts a child as soon as it listens, as one with workers does. The
 * child holds the listening socket, ignores SIGTERM, and does nothing else. With `?leaves` behind its name it leaves for a session of its own.
 */
const [, program = '', port] = process.argv
const script = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)'

function isSocket(descriptor: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith('socket:')
  } catch {
    return false
  }
}

function startWhenListening(): void {
  const descriptor = readdirSync('/proc/self/fd')
    .map(Number)
    .filter(isSocket)
    .find((one) => linux.listeningPortOf(one) === Number(port))
  if (descriptor === undefined) {
    setTimeout(startWhenListening, 50).unref()
    return
  }
  const detached = import.meta.url.endsWith('?leaves')
  // Its last word makes it one of ours.
  spawn('python3', ['-c', script, program], {
    detached,
    stdio: ['ignore', 'ignore', 'ignore', descriptor],
  }).unref()
}

if (program.endsWith('/tcp-proxy.cjs')) startWhenListening()
