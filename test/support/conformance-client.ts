// The official conformance suite against the gateway as a client. One run of the suite has the servers of all scenarios, and starts a command
// for each; that command (conformance-ask-process.ts) asks here, where a gateway of its own plays each scenario, one after another.
import { mkdirSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import path from 'node:path'
import { play, type Scenario } from './conformance-play.ts'
import { type ConformanceRevision, resultsIn, runSuite, type ScenarioResult } from './conformance-suite.ts'
import { compiled } from './tools.ts'

interface Played {
  /** What the command ends with. */
  readonly code: number
  readonly output: string
}

export interface ClientScenarioResult extends ScenarioResult {
  /** What the gateway has answered and logged. */
  readonly output: string
}

/** Plays these scenarios for clients; a warning counts as a failure. @param out a folder that is not there yet. */
export async function clientConformance(
  scenarios: readonly string[],
  revision: ConformanceRevision,
  out: string,
): Promise<readonly ClientScenarioResult[]> {
  mkdirSync(out)
  const socket = path.join(out, 'asks')
  const outputs = new Map<string, string>()
  // The suite is too busy to answer in time while it starts all its commands.
  let allAsk = () => {}
  let last: Promise<unknown> = new Promise<void>((resolve) => {
    allAsk = resolve
  })
  let asking = 0

  async function answer(asks: Socket, asked: string): Promise<void> {
    // A command that the suite has ended, because its time was up, waits for nothing.
    const gone = new Promise<Played>((resolve) => {
      asks.on('close', () => resolve({ code: 1, output: 'its time was up' }))
    })
    const scenario = JSON.parse(asked) as Scenario
    const played = last.then(() => Promise.race([outcome(scenario), gone]))
    last = played
    if (++asking === scenarios.length) allAsk()
    const { code, output } = await played
    outputs.set(scenario.name, output)
    asks.end(String(code))
  }

  const server = createServer({ allowHalfOpen: true }, (asks) => {
    let asked = ''
    asks.setEncoding('utf8').on('error', () => {})
    asks.on('data', (part: string) => {
      asked += part
    })
    asks.on('end', () => void answer(asks, asked))
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  try {
    const ask = `${process.execPath} ${compiled('test/support/conformance-ask-process.ts')} ${socket}`
    // Of the scenarios that a revision has, the others end at once, and show nothing.
    const command = `case " ${scenarios.join(' ')} " in *" $MCP_CONFORMANCE_SCENARIO "*) ;; *) exit;; esac; exec ${ask}`
    await runSuite(['client', '--command', command, '--timeout', '100000'], revision, out)
  } finally {
    server.close()
  }
  return resultsIn(out, ['FAILURE', 'WARNING'])
    .filter(({ scenario }) => scenarios.includes(scenario))
    .map((one) => ({ ...one, output: outputs.get(one.scenario) ?? '' }))
}

async function outcome(scenario: Scenario): Promise<Played> {
  const lines: string[] = []
  try {
    await play(scenario, (line) => lines.push(line))
    return { code: 0, output: lines.join('\n') }
  } catch (error) {
    return { code: 1, output: [...lines, String(error)].join('\n') }
  }
}
