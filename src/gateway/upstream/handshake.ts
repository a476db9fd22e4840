import { within } from '../../os/time-limit.ts'
import { version } from '../../os/version.ts'
import { RpcError, rpcCode } from '../protocol/errors.ts'
import { type Member, membersOf, type Span, textOf, valueIn } from '../protocol/json-text.ts'
import { type Message, metaOf, resultOf } from '../protocol/message.ts'
import {
  type Era,
  metaKey,
  modernRevision,
  newestLegacyRevision,
  supportedRevisions,
  tasksExtension,
} from '../protocol/revisions.ts'

// How both sides find out which generation the other speaks, before anything else is said on a connection.

/** What a server says of itself. */
export interface ServerFacts {
  readonly era: Era
  readonly revision: string
  /** As parsed; only their presence is looked at. */
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly instructions: string | undefined
  /** JSON text of `serverInfo`. */
  readonly info: string | undefined
}

/** Asks the server, on the connection that is opened. @param params as JSON text. @throws RpcError when the server refuses. */
type Ask = (method: string, params: string) => Promise<Message>

const ourInfo = JSON.stringify({ name: 'port-watchdog', title: 'port-watchdog', version })

/** What a client may be asked. Which one can what is known only when it calls: who cannot answers with an error. */
const ourCapabilities = JSON.stringify({
  roots: { listChanged: true },
  sampling: { tools: {}, context: {} },
  elicitation: { form: {}, url: {} },
})

/** ms that a server has to answer or refuse `server/discover`, before it is asked in the older way, too. */
const discoverWaitMs = 3000

/** Refusals of the newer generation alone, which `initialize` does not mend. That of a revision names others, and is looked into. */
const modernRefusals: readonly number[] = [rpcCode.headerMismatch, rpcCode.missingCapability]

/** What the newer generation wants to hear with each request, for one of the gateway itself. */
export const ourEnvelope: Readonly<Record<string, unknown>> = {
  [metaKey.protocolVersion]: modernRevision,
  [metaKey.clientInfo]: JSON.parse(ourInfo),
  // Without it a server may not tell of tasks.
  [metaKey.clientCapabilities]: { ...JSON.parse(ourCapabilities), extensions: { [tasksExtension]: {} } },
}

/**
 * Finds out which generation the server speaks: `server/discover` first, `initialize` when that is refused. When it is passed over for a
 * while, because the server does not know it or only begins, both are asked, and the first that is answered counts.
 * @param known what it spoke last time; then only that is tried.
 * @param capabilities JSON text of what the client has whose own connection this is; undefined = it is for all.
 * @param waitMs how long `server/discover` may be passed over.
 * @throws ConnectionLost, RpcError
 */
export async function shakeHands(
  ask: Ask,
  known: Era | undefined,
  capabilities = ourCapabilities,
  waitMs = discoverWaitMs,
): Promise<ServerFacts> {
  if (known === 'legacy') return await initialize(ask, capabilities)
  if (known === 'modern') return await discover(ask)
  const discovered = discoverUnlessRefused(ask)
  discovered.catch(() => {})
  const early = await within(discovered, waitMs)
  if (early !== undefined) return early
  const initialized = initialize(ask, capabilities)
  // One that takes no `initialize` may still be about to answer the other question.
  const older = initialized.catch(async (error: unknown) => {
    const found = await within(discovered, waitMs)
    if (found === undefined) throw error
    return found
  })
  return await Promise.race([older, discovered.then((found) => found ?? older)])
}

/** @returns undefined when the server is to be asked by `initialize`. */
async function discoverUnlessRefused(ask: Ask): Promise<ServerFacts | undefined> {
  try {
    return await discover(ask)
  } catch (error) {
    const supported = supportedIn(error)
    if (supported !== undefined && !supportedRevisions.some((one) => supported.includes(one)))
      throw new RpcError(rpcCode.unsupportedVersion, `it speaks only ${supported.join(', ')}`)
    // An older server does not know these: the other question would only hide what it says.
    if (error instanceof RpcError && !modernRefusals.includes(error.code)) return undefined
    throw error
  }
}

async function discover(ask: Ask): Promise<ServerFacts> {
  const once = () => ask('server/discover', JSON.stringify({ _meta: ourEnvelope }))
  const answer = await once().catch((error: unknown) => {
    // A server that takes this revision after all, as its refusal says, is of the newer generation.
    if (supportedIn(error)?.includes(modernRevision) === true) return once()
    throw error
  })
  const members = membersOf(answer.text, resultOf(answer).start)
  const versions = valueIn(answer.text, members, 'supportedVersions')
  if (!Array.isArray(versions) || !versions.includes(modernRevision))
    throw new RpcError(rpcCode.unsupportedVersion, 'it does not speak 2026-07-28')
  const info = metaOf(answer.text, members).get(metaKey.serverInfo) ?? members.get('serverInfo')
  return factsOf(answer.text, members, 'modern', modernRevision, info)
}

/** The revisions that a refusal of ours names instead. */
function supportedIn(error: unknown): readonly unknown[] | undefined {
  if (!(error instanceof RpcError) || error.code !== rpcCode.unsupportedVersion) return undefined
  const supported = (error.data as { readonly supported?: unknown } | null | undefined)?.supported
  return Array.isArray(supported) ? supported : undefined
}

async function initialize(ask: Ask, capabilities: string): Promise<ServerFacts> {
  const params = `{"protocolVersion":"${newestLegacyRevision}","capabilities":${capabilities},"clientInfo":${ourInfo}}`
  const answer = await ask('initialize', params)
  const members = membersOf(answer.text, resultOf(answer).start)
  const revision = valueIn(answer.text, members, 'protocolVersion')
  if (typeof revision !== 'string') throw new RpcError(rpcCode.invalidRequest, 'its answer names no revision')
  return factsOf(answer.text, members, 'legacy', revision, members.get('serverInfo'))
}

function factsOf(
  text: string,
  members: ReadonlyMap<string, Member>,
  era: Era,
  revision: string,
  info: Span | undefined,
): ServerFacts {
  const capabilities = valueIn(text, members, 'capabilities')
  const instructions = valueIn(text, members, 'instructions')
  return {
    era,
    revision,
    capabilities:
      typeof capabilities === 'object' && capabilities !== null
        ? (capabilities as Readonly<Record<string, unknown>>)
        : {},
    instructions: typeof instructions === 'string' ? instructions : undefined,
    info: info && textOf(text, info),
  }
}
