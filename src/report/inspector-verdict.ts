import type { ForwarderHealth, InspectorFacts } from '../record/shapes/forwarder-health.ts'

/** What visitors of an MCP Inspector can do, or cannot. */
export interface InspectorVerdict {
  /** `exposed`: anybody who reaches the forward can start programs on this machine. `degraded`: its page cannot connect. */
  readonly state: 'exposed' | 'degraded'
  readonly reason: string
  /** What ALLOWED_ORIGINS of the Inspector must name so that its page can connect; undefined where that would not do. */
  readonly allowedOrigins: readonly string[] | undefined
}

/**
 * Judges what a forward lets other machines do with the Inspector behind it. Pure.
 * @returns undefined when all is well: no Inspector, a login in front, nothing that other machines reach, or its own token and the right origins.
 */
export function judgeInspector({ inspector, gate }: ForwarderHealth): InspectorVerdict | undefined {
  if (inspector == null || gate !== null || inspector.origins.length === 0) return undefined
  const [first] = inspector.origins
  const at = first?.origin ?? ''
  const isRefused = inspector.origins.every(({ allowed }) => allowed === false)
  const who = nameOf(inspector)
  if (inspector.token !== 'kept') {
    const how = inspector.token === 'handed-out' ? 'hands its token to every visitor' : 'asks for no token'
    const connecting = isRefused ? ', and its page fails with 403' : insecureContext(inspector, at)
    return {
      state: 'exposed',
      reason: `${who} ${how}: anybody who reaches ${at} can start programs on this machine${connecting}`,
      allowedOrigins: undefined,
    }
  }
  if (isRefused) {
    return {
      state: 'degraded',
      reason: `connecting from ${at} fails with 403: ${who} does not allow this origin`,
      allowedOrigins: [...inspector.origins.map(({ origin }) => origin), localOrigin(at)],
    }
  }
  const insecure = insecureContext(inspector, at)
  if (insecure === '') return undefined
  return { state: 'degraded', reason: `${who} works${insecure}`, allowedOrigins: undefined }
}

/**
 * Addresses at which connecting fails although it works at others, which may be intended.
 * @returns undefined when there are none, or a verdict says it.
 */
export function refusedOrigins(health: ForwarderHealth): string | undefined {
  const { inspector } = health
  if (inspector == null || judgeInspector(health) !== undefined) return undefined
  const refused = inspector.origins.filter(({ allowed }) => allowed === false).map(({ origin }) => origin)
  if (refused.length === 0) return undefined
  return `${nameOf(inspector)} does not allow the origin ${refused.join(', ')}`
}

function nameOf({ generation, version }: InspectorFacts): string {
  return `MCP Inspector ${version ?? `${generation}.x`}`
}

/** The page of 2.x calls `crypto.randomUUID`, which browsers give to https and to localhost only. */
function insecureContext({ generation }: InspectorFacts, origin: string): string {
  return generation === 2 && origin.startsWith('http:')
    ? ', but its page connects over https or localhost only'
    : ''
}

function localOrigin(origin: string): string {
  const { protocol, port } = new URL(origin)
  return `${protocol}//localhost:${port}`
}
