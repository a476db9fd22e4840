// What is measured of each keeper.
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  allPids,
  freePort,
  processCpuSeconds,
  processPssBytes,
  startServer,
} from '../forwarders/processes.ts'
import { untilServed } from '../supervisors/client.ts'
import { wordsOf } from '../supervisors/forwards.ts'
import { type Rest, restOf } from '../supervisors/stages/rest.ts'
import { type App, type Keeper, startKeeper } from './keepers.ts'

/** A start or a restart that takes longer has failed. */
export const LIMIT_MS = 60_000

/** What lived shorter counts for supervisord and pm2 as unable to start; see the kills of scripts/bench/recovery. */
const LIFE_MS = 1500

function echoApp(root: string, name: string, port: number, folder: string): App {
  const program = join(root, 'dist/scripts/bench/apps/echo-process.js')
  return { name, port, command: [process.execPath, program, `${port}`, join(folder, name)] }
}

/** ms from the start of the app itself to its first answer, without anybody who keeps it. */
export async function ownStart(root: string, folder: string, times: number): Promise<number[]> {
  const found: number[] = []
  for (let time = 0; time < times; time++) {
    const port = await freePort()
    const began = performance.now()
    const app = startServer(echoApp(root, 'alone', port, folder).command, join(folder, 'alone.log'))
    if ((await untilServed(port, { limitMs: LIMIT_MS })) !== undefined) found.push(performance.now() - began)
    await app.stop()
  }
  return found
}

/** ms from each kill -9 of the app to its next answer. */
export async function kills(keeper: Keeper, root: string, folder: string, times: number): Promise<number[]> {
  const port = await freePort()
  const watchdog = await startKeeper(keeper, [echoApp(root, 'app', port, folder)], folder)
  try {
    const found: number[] = []
    for (let time = 0; time <= times; time++) {
      const served = await untilServed(port, { limitMs: LIMIT_MS })
      if (served === undefined) throw new Error(`not served within ${LIMIT_MS / 1000} s`)
      // The first was a start and no recovery.
      if (time > 0) found.push(served.ms)
      await sleep(LIFE_MS + Math.random() * 1000)
      const pid = allPids().find((one) => wordsOf(one).includes(join(folder, 'app')))
      if (pid !== undefined && time < times) process.kill(pid, 'SIGKILL')
    }
    return found
  } finally {
    await watchdog.stop()
  }
}

/** What it costs while `count` programs run and do nothing. */
export async function rest(keeper: Keeper, folder: string, count: number, seconds: number): Promise<Rest> {
  const apps = Array.from({ length: count }, (_, index) => {
    const own = join(folder, 'state', `idle-${index}`)
    // A shell that waits for somebody to write into a pipe: the smallest process that names its folder.
    return {
      name: `idle-${index}`,
      command: ['/bin/sh', '-c', `mkfifo ${own} 2>/dev/null; read -r _ <${own}`, own],
    }
  })
  const watchdog = await startKeeper(keeper, apps, folder)
  try {
    const running = () =>
      apps.filter(({ command }) => allPids().some((pid) => wordsOf(pid).includes(command[3] ?? '')))
    const until = performance.now() + 2 * LIMIT_MS
    while (performance.now() < until && running().length < count) await sleep(1000)
    if (running().length < count) throw new Error(`only ${running().length} of ${count} programs run`)
    const [found] = await restOf([[watchdog.pid]], seconds)
    if (found === undefined) throw new Error('nothing was measured')
    return found
  } finally {
    await watchdog.stop()
  }
}

export interface Captured {
  readonly seconds: number
  /** Of the keeper, from the first line to the last. */
  readonly cpuSeconds: number
  /** Peak of the keeper's proportional set size less that before the first line, MB of 10^6 bytes. */
  readonly grownMB: number
}

/**
 * A program prints as fast as it can; it is over when the last line stands in the keeper's log.
 * @param words the command that prints.
 */
export async function capture(
  keeper: Keeper,
  folder: string,
  words: readonly string[],
  last: string,
): Promise<Captured> {
  const gate = join(folder, 'state', 'gate')
  const printing = `mkfifo ${gate}; read -r _ <${gate}; ${words.join(' ')}; read -r _ <${gate}`
  const app = { name: 'talker', command: ['/bin/sh', '-c', printing, gate] }
  const watchdog = await startKeeper(keeper, [app], folder)
  try {
    while (!existsSync(gate)) await sleep(50)
    await sleep(2000)
    const { pid } = watchdog
    const [cpuBefore, memoryBefore] = [processCpuSeconds(pid), processPssBytes(pid)]
    let peak = memoryBefore
    const began = performance.now()
    closeSync(openSync(gate, 'w'))
    const log = keeper.logOf(folder, app.name)
    for (let looks = 0; !endsWith(log, last); looks++) {
      if (performance.now() - began > 10 * LIMIT_MS) throw new Error('the last line did not come')
      if (looks % 10 === 0) peak = Math.max(peak, processPssBytes(pid))
      await sleep(10)
    }
    const seconds = (performance.now() - began) / 1000
    // What it still has to do with the last lines.
    await sleep(1000)
    return {
      seconds,
      cpuSeconds: processCpuSeconds(pid) - cpuBefore,
      grownMB: (Math.max(peak, processPssBytes(pid)) - memoryBefore) / 1e6,
    }
  } finally {
    await watchdog.stop()
  }
}

/** Whether a text is among the last bytes of a file. */
export function endsWith(file: string, text: string): boolean {
  if (!existsSync(file)) return false
  const opened = openSync(file, 'r')
  try {
    const { size } = fstatSync(opened)
    const bytes = Buffer.alloc(Math.min(size, 4096))
    readSync(opened, bytes, 0, bytes.length, size - bytes.length)
    return bytes.includes(text)
  } finally {
    closeSync(opened)
  }
}
