#!/usr/bin/env node
import { setTimeout as after } from 'node:timers/promises'
import { parseDuration } from '../config/values.ts'
import { readersDirectory } from '../record/state-directory.ts'
import { gather } from '../report/gather.ts'
import { renderStatus, wantsColour } from '../report/render.ts'
import { assess, type StatusReport } from '../report/status.ts'
import { argument, newCommand, runCommand } from './command.ts'

interface Options {
  json?: boolean
  watch?: true | number
  stateDir?: string
}

/** ms between two looks of --watch when it does not say. */
const defaultWatchMs = 2000

/** Columns of a report that is not printed on a terminal. */
const widthWithoutTerminal = 200

const command = newCommand('proxy-status', 'Say how the forwards and their monitor are. Reads only.')
  .option('--json', 'one JSON object and nothing else; with --watch one a line')
  .option('--watch [TIME]', 'look again and again (default: every 2s)', argument(parseDuration))
  .option(
    '--state-dir <DIR>',
    'where the monitor keeps its records (default: looked for in the usual places)',
  )
  .addHelpText(
    'after',
    `
Exit codes: 0 all is well · 1 the monitor died or hangs · 3 no monitor runs · 4 its records cannot be used
            150 somebody cannot get through · 151 not all is as it should be · 64 usage`,
  )

await runCommand(command, async (options: Options) => {
  const directory = readersDirectory(options.stateDir)
  const look = async () => assess(await gather(directory))
  if (options.watch === undefined) return print(await look(), options)
  const interval = options.watch === true ? defaultWatchMs : options.watch
  let last = 0
  let ended = false
  process.once('SIGINT', () => {
    ended = true
  })
  while (!ended) {
    last = printAgain(await look(), options)
    await after(interval)
  }
  return last
})

function print(report: StatusReport, { json }: Options): number {
  if (json === true) {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  } else {
    const { columns } = process.stdout
    const colour = wantsColour(process.stdout, process.env)
    process.stdout.write(renderStatus(report, { colour, width: columns ?? widthWithoutTerminal }))
  }
  return report.exitCode
}

function printAgain(report: StatusReport, options: Options): number {
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(report)}\n`)
    return report.exitCode
  }
  // Home, and clear what an earlier, longer picture left: no flicker, unlike clearing first.
  if (process.stdout.isTTY) process.stdout.write('\u001b[H')
  const code = print(report, options)
  if (process.stdout.isTTY) process.stdout.write('\u001b[J')
  return code
}
