import { existsSync, writeFileSync } from 'node:fs'
import { loadConfiguration } from '../../src/config/load.ts'
import type { ProgramStatus } from '../../src/record/shapes/status-report.ts'
import { order } from './ordered.ts'
import type { Resident } from './resident.ts'
import type { Watched } from './watched.ts'

/** One program of a configuration, as a person writes it. */
export interface WantedProgram {
  readonly name: string
  readonly command?: readonly string[] | string
  readonly [key: string]: unknown
}

/** Writes a configuration of programs, and of whatever else stands in `more`. @returns the file. */
export function writePrograms(
  watched: Watched,
  programs: readonly WantedProgram[],
  more: object = {},
): string {
  const file = watched.file('configuration.json')
  const restart = { backoff: 0, resetAfter: 0, flappingRestarts: 0 }
  writeFileSync(file, JSON.stringify({ interval: '300ms', restart, programs, ...more }))
  return file
}

/** Starts a monitor that keeps these programs running, and waits until it says so. */
export async function startPrograms(
  watched: Watched,
  programs: readonly WantedProgram[],
  more: object = {},
): Promise<Resident> {
  const words = ['--config', writePrograms(watched, programs, more)]
  const monitor = watched.start('proxy-monitor', ...words)
  await monitor.line(/Monitor started/)
  return monitor
}

/**
 * The same with one monitor for several tests. It reloads its configuration, which takes a tenth of the time of a start: it ends the programs of
 * the test before and starts these. Each test must give its programs names of its own, and leave the monitor running.
 */
export async function sharePrograms(
  shared: Watched,
  programs: readonly WantedProgram[],
  more: object = {},
): Promise<void> {
  if (!existsSync(shared.file('control.sock'))) return void (await startPrograms(shared, programs, more))
  writePrograms(shared, programs, more)
  const { code, stdout } = await order(shared, 'reload')
  if (code !== 0) throw new Error(stdout)
}

/** Why a configuration file is refused, as `proxy-monitor --check` says it, without a process for it; empty when it is taken. */
export async function refusalOf(file: string): Promise<string> {
  try {
    await loadConfiguration(file)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

/** The words that run a script with Node. */
export function script(...lines: readonly string[]): string[] {
  return [process.execPath, '-e', lines.join('\n')]
}

/** A program that listens on a port of loopback. */
export function server(port: number, ...lines: readonly string[]): string[] {
  return script(
    `require('node:net').createServer((s) => s.end('served')).listen(${port}, '127.0.0.1')`,
    ...lines,
  )
}

/** Waits until a program is as wanted. */
export async function programWhen(
  watched: Watched,
  name: string,
  isWanted: (program: ProgramStatus) => boolean,
): Promise<ProgramStatus> {
  const found = ({ programs }: { readonly programs: readonly ProgramStatus[] }) =>
    programs.find((program) => program.name === name)
  const report = await watched.statusWhen(`${name} is as wanted`, (seen) => {
    const program = found(seen)
    return program !== undefined && isWanted(program)
  })
  const program = found(report)
  if (program === undefined) throw new Error(`no program ${name}`)
  return program
}

/** Waits until a program is healthy, as another PID than `not`. @returns the PID. */
export async function runningAs(watched: Watched, name: string, not = 0): Promise<number> {
  const { pid } = await programWhen(watched, name, ({ state, pid }) => state === 'healthy' && pid !== not)
  return pid ?? 0
}
