// The command that the official conformance suite starts for a scenario of clients: it tells conformance-client.ts what the suite has told it,
// and ends when that has been played. Usage: SOCKET URL
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Scenario } from './conformance-play.ts'

const [, , socket = '', url = ''] = process.argv
const { MCP_CONFORMANCE_PROTOCOL_VERSION, MCP_CONFORMANCE_SCENARIO, MCP_CONFORMANCE_CONTEXT } = process.env
const scenario: Scenario = {
  url,
  name: MCP_CONFORMANCE_SCENARIO ?? '',
  revision: MCP_CONFORMANCE_PROTOCOL_VERSION ?? '',
  context: JSON.parse(MCP_CONFORMANCE_CONTEXT ?? '{}') as Scenario['context'],
}
const asks = connect({ path: socket, allowHalfOpen: true })
asks.end(JSON.stringify(scenario))
process.exitCode = Number(await text(asks))
