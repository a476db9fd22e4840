/** `mcp-proxy pin`: tools whose descriptions have changed since somebody trusted them. */
import path from 'node:path'
import type { Parsed } from '../config/values.ts'
import { localTime } from '../log/entry.ts'
import { exitCode, Failure } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { type ChangedTool, type PinnedConnector, pinnedConnectors } from '../record/shapes/gateway-pins.ts'
import { fileNames } from '../record/state-directory.ts'
import { readersDirectory } from '../record/usual-directories.ts'
import { argument, type Program } from './command.ts'
import { gatewayCommand } from './mcp-command.ts'
import { askRunning } from './mcp-orders.ts'

interface Options {
  readonly stateDir?: string
  readonly json?: boolean
}

const actions = ['list', 'accept'] as const

type Action = (typeof actions)[number]

export const pinProgram: Program = {
  command: gatewayCommand('pin', 'List tools whose descriptions have changed, and accept them.')
    .argument('<ACTION>', 'list or accept', argument(parseAction))
    .argument('[CONNECTOR]', 'with accept: its id')
    .argument(
      '[TOOL]',
      'with accept: the tool, by the name that the server gives it (default: all that have changed)',
    )
    .option('-j, --json', 'with list: print the whole descriptions, as JSON'),
  run: async (action: Action, connector: string | undefined, tool: string | undefined, options: Options) => {
    const directory = readersDirectory(options.stateDir)
    if (action === 'list') {
      const all = await listed(directory)
      process.stdout.write(options.json === true ? `${JSON.stringify(all, null, 2)}\n` : textOf(all))
      return exitCode.ok
    }
    if (connector === undefined)
      throw new Failure('pin accept needs the id of a connector (see mcp-proxy pin list)', exitCode.usage)
    const accepted = await accept(directory, connector, tool)
    const names = accepted.map((one) => oneLine(one)).join(', ')
    process.stdout.write(
      accepted.length === 0
        ? `${tool === undefined ? 'no tool' : `the tool ${oneLine(tool)}`} of ${oneLine(connector)} has ${tool === undefined ? '' : 'not '}changed\n`
        : `accepted ${names} of ${oneLine(connector)}\n`,
    )
    return exitCode.ok
  },
}

/** From the gateway that runs, and where none does from what the last one has kept. */
async function listed(directory: string): Promise<readonly PinnedConnector[]> {
  const answer = await askRunning(directory, 'pins', {})
  if (answer === undefined) return (await pinsOf(directory)).list(() => undefined)
  const found = pinnedConnectors.read(answer)
  if (found !== undefined) return found
  throw new Failure('the gateway that runs is of another version; restart it', exitCode.unavailable)
}

async function accept(
  directory: string,
  connector: string,
  tool: string | undefined,
): Promise<readonly string[]> {
  const asked = { connector, ...(tool === undefined ? {} : { tool }) }
  const answer = await askRunning(directory, 'accept-pins', asked)
  if (answer !== undefined) return Array.isArray(answer) ? answer.map(String) : []
  const pins = await pinsOf(directory)
  const known = pins.list(() => undefined).map((one) => one.connector)
  if (!known.includes(connector)) {
    const what = `no connector "${oneLine(connector)}" has been seen; there are ${known.join(', ') || 'none'}`
    throw new Failure(what, exitCode.usage)
  }
  return pins.accept(connector, tool)
}

async function pinsOf(directory: string) {
  const { Pins } = await import('../gateway/pins.ts')
  return new Pins(path.join(directory, fileNames.gatewayPins))
}

function textOf(all: readonly PinnedConnector[]): string {
  if (all.length === 0) return 'no tools are pinned yet: the gateway does it when it first sees them\n'
  const changed = all.filter((one) => one.changed.length > 0)
  const lines = [
    ...all.map(({ connector, tools, mode, changed: others }) => {
      const held = others.length > 0 && mode === 'strict' ? ', held back' : ''
      const count = `${tools} ${tools === 1 ? 'tool' : 'tools'} pinned, ${others.length} changed${held}`
      return `${connector}  ${count}${mode === 'off' ? ' (pin: off)' : ''}`
    }),
    ...changed.flatMap(({ connector, changed: tools }) =>
      tools.flatMap((one) => ['', ...changeLines(connector, one)]),
    ),
    ...changed.flatMap(({ connector }, index) => [
      ...(index === 0 ? ['', 'To accept what you have read:'] : []),
      `  mcp-proxy pin accept ${connector}`,
    ]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function changeLines(connector: string, { tool, at, differences }: ChangedTool): string[] {
  return [
    `${oneLine(tool)} of ${connector}, changed ${localTime(new Date(at))}`,
    ...differences.flatMap(({ member, was, is }) => {
      const from = firstDifference(was ?? '', is ?? '')
      return [
        `  ${member} was  ${excerpt(was, from)}`,
        `  ${' '.repeat(member.length)} is   ${excerpt(is, from)}`,
      ]
    }),
  ]
}

/** Characters that are shown before and after where two texts begin to differ. */
const before = 40
const after = 240

function excerpt(text: string | null, from: number): string {
  if (text === null) return 'missing'
  const start = Math.max(0, from - before)
  const end = from + after
  return `${start > 0 ? '…' : ''}${visible(text.slice(start, end))}${end < text.length ? '…' : ''}`
}

/** A model reads characters that no terminal shows. */
function visible(text: string): string {
  return oneLine(text).replaceAll(
    /\p{Cf}/gu,
    (hidden) => `<U+${hidden.codePointAt(0)?.toString(16).toUpperCase()}>`,
  )
}

function firstDifference(one: string, other: string): number {
  let at = 0
  while (at < one.length && one[at] === other[at]) at++
  return at
}

function parseAction(text: string): Parsed<Action> {
  const value = actions.find((action) => action === text)
  return value === undefined
    ? { ok: false, problem: `"${text}" is not an action; write ${actions.join(' or ')}` }
    : { ok: true, value }
}
