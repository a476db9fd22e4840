/** `mcp-proxy status`: what the gateway wrote of itself last, and whether it still lives. Works when it is dead. */
import path from 'node:path'
import { localTime } from '../log/entry.ts'
import { errorCode, exitCode } from '../os/failure.ts'
import { oneLine } from '../os/printable.ts'
import { readRegularFile } from '../os/regular-file.ts'
import { conditionInWords } from '../record/shapes/gateway-conditions.ts'
import { type GatewayConnector, type GatewayState, readGatewayState } from '../record/shapes/gateway-state.ts'
import { fileNames } from '../record/state-directory.ts'

/** ms without a sign of life after which a gateway counts as dead or hung. */
const staleAfterMs = 30_000

/** The exit code where no gateway runs. */
const notRunning = exitCode.orderFailed

export interface GatewayStatus {
  readonly text: string
  readonly code: number
}

interface Looks {
  readonly json: boolean
  readonly colour: boolean
}

type ShownState = 'RUNNING' | 'STALE' | 'STOPPED'

/** What a gateway wrote last; `none` = it never ran there. */
export type GatewayStanding =
  | { readonly kind: 'none'; readonly file: string }
  | { readonly kind: 'unreadable'; readonly file: string }
  | { readonly kind: 'known'; readonly state: GatewayState; readonly shown: ShownState }

/** @param now wall ms. */
export function gatewayStanding(stateDirectory: string, now: number): GatewayStanding {
  const file = path.join(stateDirectory, fileNames.gatewayState)
  try {
    const state = readGatewayState(JSON.parse(readRegularFile(file)))
    return state === undefined
      ? { kind: 'unreadable', file }
      : { kind: 'known', state, shown: shownState(state, now) }
  } catch (error) {
    return { kind: errorCode(error) === 'ENOENT' ? 'none' : 'unreadable', file }
  }
}

export function gatewayStatus(stateDirectory: string, looks: Looks, now = Date.now()): GatewayStatus {
  const standing = gatewayStanding(stateDirectory, now)
  if (standing.kind === 'none') return none(looks)
  if (standing.kind === 'unreadable') {
    const text = looks.json
      ? '{"running":false,"version":1,"error":"unreadable"}\n'
      : `${standing.file} cannot be read\n`
    return { text, code: notRunning }
  }
  const { state, shown } = standing
  const code = shown === 'RUNNING' ? exitCode.ok : notRunning
  if (looks.json) {
    const { version, ...rest } = state
    const report = { running: shown === 'RUNNING', version, ...rest, proxy: { ...state.proxy, state: shown } }
    return { text: `${JSON.stringify(report, null, 2)}\n`, code }
  }
  return { text: textOf(state, shown, looks, now), code }
}

function none({ json }: Looks): GatewayStatus {
  const what = 'No state found (proxy may never have run)'
  const text = json
    ? `${JSON.stringify({ running: false, version: 1, error: what })}\n`
    : `${what}; start it: mcp-proxy start --all\n`
  return { text, code: notRunning }
}

function shownState({ proxy }: GatewayState, now: number): ShownState {
  if (proxy.state === 'STOPPED') return 'STOPPED'
  return now - Date.parse(proxy.heartbeat) > staleAfterMs ? 'STALE' : 'RUNNING'
}

function textOf(state: GatewayState, shown: ShownState, { colour }: Looks, now: number): string {
  const { proxy, connectors, clients, logging } = state
  const paint = (code: number, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text)
  const green = paint(32, '●')
  const grey = paint(90, '○')
  const red = paint(31, '✕')
  const lines = [
    'Proxy Status',
    '═'.repeat(39),
    '',
    `State:      ${paint(shown === 'RUNNING' ? 32 : 31, shown)}`,
    `Mode:       ${proxy.mode}`,
    `PID:        ${proxy.pid}`,
    `Started:    ${localTime(new Date(proxy.startedAt))}`,
    ...(shown === 'RUNNING' ? [`Uptime:     ${spanOf(now - Date.parse(proxy.startedAt))}`] : []),
    `${shown === 'STOPPED' ? 'Ended:     ' : 'Heartbeat: '} ${agoOf(now - Date.parse(proxy.heartbeat))}`,
    ...(proxy.url === null ? [] : [`URL:        ${proxy.url}`]),
    ...(proxy.keyFile === null ? [] : [`Key:        in ${proxy.keyFile}`]),
    ...storeLines(state.store, now, red),
    '',
    'Connectors:',
  ]
  const widest = Math.max(12, ...connectors.map(({ id }) => id.length))
  for (const { id, toolCount, state: of, error, ...life } of connectors) {
    const isUnwell = of === 'error' || of === 'awaiting-auth' || (of === 'ready' && !life.healthy)
    const sign = isUnwell ? red : of === 'ready' ? green : grey
    const count = `${String(toolCount).padStart(3)} tools`
    const words = of === 'ready' ? '' : ` (${of})`
    lines.push(`  ${sign} ${id.padEnd(widest)} ${count}${words}`)
    if (error !== null) lines.push(`     ${oneLine(error)}`)
    lines.push(...lifeLines(life, error, now).map((line) => `     ${line}`))
  }
  if (connectors.length === 0) lines.push('  none')
  // A connector that is down says so where it stands.
  const problems = (state.problems ?? []).filter(({ about }) => about !== 'connector')
  if (problems.length > 0) lines.push('', 'Problems:')
  for (const one of problems) lines.push(`  ${red} ${oneLine(conditionInWords(one))}`)
  lines.push('', 'Clients:')
  for (const client of Object.values(clients)) {
    const sign = client.state === 'active' ? green : client.state === 'idle' ? grey : red
    lines.push(
      `  ${sign} ${oneLine(client.name)} (${client.state})`,
      `     Last seen: ${agoOf(now - Date.parse(client.lastSeen))}`,
      `     Sessions: ${client.sessions}`,
      `     Tool calls: ${client.toolCalls}`,
    )
  }
  if (Object.keys(clients).length === 0) lines.push('  none')
  lines.push(
    '',
    'Logging:',
    `  Level: ${logging.level}`,
    `  Buffered: ${logging.bufferedLines}/${logging.maxLines} lines`,
  )
  if (shown === 'STALE') lines.push('', 'It has died or hangs: start it again with mcp-proxy start --all')
  return lines.map((line) => `${line}\n`).join('')
}

/** Where keys are kept, when that is not the usual file or cannot be read. @param sign of what has failed. */
function storeLines(store: GatewayState['store'] | undefined, now: number, sign: string): string[] {
  if (store == null || (store.kind === 'files' && store.state === 'up')) return []
  const kind = store.kind === 'postgres' ? 'PostgreSQL at ' : ''
  const lines = [`Keys:       ${kind}${oneLine(store.place)}`]
  if (store.state === 'up') return lines
  const since = store.since === null ? '' : ` for ${spanOf(now - Date.parse(store.since))}`
  const what = store.serves ? 'keys that are known are taken' : 'clients get 503'
  return [...lines, `            ${sign} not reachable${since}; ${what}: ${oneLine(store.problem ?? '')}`]
}

/** Its restarts, its next start, and what it said before its last failure, where there is something to say. */
function lifeLines(
  { restarts = 0, nextTryAt, lastError, failuresInRow = 0, lastSuccessAt }: Partial<GatewayConnector>,
  error: string | null,
  now: number,
): string[] {
  const nextMs = nextTryAt == null ? 0 : Date.parse(nextTryAt) - now
  const success =
    lastSuccessAt == null
      ? 'none has succeeded yet'
      : `the last success ${agoOf(now - Date.parse(lastSuccessAt))}`
  const parts = [
    ...(failuresInRow < 2 ? [] : [`the last ${failuresInRow} calls failed, ${success}`]),
    ...(restarts === 0 ? [] : [`${failuresInRow < 2 ? 'Restarts' : 'restarts'}: ${restarts}`]),
    ...(nextMs <= 0 ? [] : [`next try in ${spanOf(nextMs)}`]),
    ...(lastError == null || error !== null
      ? []
      : [`last error ${agoOf(now - Date.parse(lastError.at))}: ${oneLine(lastError.message)}`]),
  ]
  // Its message ends with the last of them.
  const said = error === null ? [] : (lastError?.stderr ?? []).slice(0, -3)
  return [
    ...(parts.length === 0 ? [] : [parts.join(', ')]),
    ...said.map((line) => `stderr: ${oneLine(line)}`),
  ]
}

/** `5m 23s`; the two largest parts. */
function spanOf(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  const shown = parts.slice(first < 0 ? 3 : first, (first < 0 ? 3 : first) + 2)
  return shown.map(([count, unit]) => `${count}${unit}`).join(' ')
}

function agoOf(ms: number): string {
  return ms < 10_000 ? 'just now' : `${spanOf(ms)} ago`
}
