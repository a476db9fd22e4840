import { duration, preciseDuration } from '../../os/duration.ts'
import { oneLine } from '../../os/printable.ts'
import { exactly, flag, list, nullable, number, object, oneOf, taggedBy, text } from './kinds.ts'

/** Rules about the calls of the gateway. */
export const ruleNames = ['error-rate', 'latency', 'in-flight', 'cache-hits'] as const

export type RuleName = (typeof ruleNames)[number]

/** `unclear`: nothing is known, or it is not known for long enough. */
export type ConditionState = 'failing' | 'well' | 'unclear'

/** How a connector is. `failing`: it has failed as often in a row as its policy takes, or so often that its restarts pause. */
export interface ConnectorCondition {
  readonly about: 'connector'
  readonly connector: string
  readonly condition: ConditionState
  /** Why it is down; null = it is not. */
  readonly error: string | null
  /** In a row. */
  readonly failures: number
  readonly isPaused: boolean
}

/** How the descriptions of a connector's tools are. `failing`: some are not what they were when they were trusted. */
export interface ToolsCondition {
  readonly about: 'tools'
  readonly connector: string
  readonly condition: ConditionState
  /** Their names, as the server has them. */
  readonly changed: readonly string[]
  /** They are neither offered nor called until somebody accepts them. */
  readonly isHeld: boolean
}

/** How a rule stands. */
export interface RuleCondition {
  readonly about: RuleName
  readonly condition: ConditionState
  /** The last that was measured, a share from 0 to 1 or ms; null = there was nothing to measure. */
  readonly value: number | null
  readonly limit: number
  readonly forMs: number
  /** Of `cache-hits`: the cache that answers the fewest; null = it is about no cache. */
  readonly cache: string | null
}

/** Something of the gateway that is watched beside its process: what is failing is an incident of its own. */
export type GatewayCondition = ConnectorCondition | ToolsCondition | RuleCondition

const condition = oneOf(['failing', 'well', 'unclear'], 'unclear')

export const gatewayConditions = list(
  taggedBy(
    'about',
    object({
      about: exactly('connector'),
      connector: text,
      condition,
      error: nullable(text),
      failures: number,
      isPaused: flag,
    }),
    object({
      about: exactly('tools'),
      connector: text,
      condition,
      changed: list(text),
      isHeld: flag,
    }),
    object({
      about: exactly(...ruleNames),
      condition,
      value: nullable(number),
      limit: number,
      forMs: number,
      cache: nullable(text),
    }),
  ),
)

/** What it is about in one word, unique for a gateway: `error-rate`, `connector:echo`. */
export function subjectOf(one: GatewayCondition): string {
  return 'connector' in one ? `${one.about}:${one.connector}` : one.about
}

/** What a sentence calls it. */
export function titleOf(one: GatewayCondition): string {
  switch (one.about) {
    case 'connector':
      return `Connector '${one.connector}'`
    case 'tools':
      return `Tools of connector '${one.connector}'`
    case 'error-rate':
      return 'Error rate of the gateway'
    case 'latency':
      return 'Latency of the gateway'
    case 'in-flight':
      return 'Requests under way in the gateway'
    case 'cache-hits':
      return 'Caches of the gateway'
  }
}

/** What is wrong, or that nothing is any more. */
export function conditionInWords(one: GatewayCondition): string {
  const isFailing = one.condition === 'failing'
  switch (one.about) {
    case 'connector': {
      if (!isFailing) return `Connector '${one.connector}' works again`
      const often = one.isPaused
        ? 'it has failed too often, and restarts pause'
        : `${one.failures} failures in a row`
      return `Connector '${one.connector}' is down (${often}): ${one.error ?? 'it does not say why'}`
    }
    case 'tools': {
      const { connector, changed, isHeld } = one
      if (!isFailing) return `The tools of connector '${connector}' are again as they were accepted`
      const isOne = changed.length === 1
      const held = isHeld ? `; the gateway holds ${isOne ? 'it' : 'them'} back` : ''
      const what = `Connector '${connector}' has changed the ${isOne ? 'description' : 'descriptions'} of ${named(changed)}`
      return `${what}${held}; see mcp-proxy pin list, then mcp-proxy pin accept ${connector}`
    }
    case 'error-rate': {
      const limit = `the limit is ${percent(one.limit)}`
      return isFailing
        ? `${measured(one, percent)} of the gateway's calls fail, ${lasting(one)}; ${limit}`
        : `The gateway's calls no longer fail too often; ${limit}`
    }
    case 'latency': {
      const limit = `the limit is ${preciseDuration(one.limit)}`
      return isFailing
        ? `1 of 100 calls of the gateway takes ${measured(one, preciseDuration)} or longer, ${lasting(one)}; ${limit}`
        : `The gateway's calls no longer take too long; ${limit}`
    }
    case 'in-flight': {
      const limit = `the limit is ${percent(one.limit)}`
      return isFailing
        ? `${measured(one, percent)} of the requests that the gateway takes at once are under way, ${lasting(one)}; ${limit}`
        : `The gateway has room for requests again; ${limit}`
    }
    case 'cache-hits': {
      const limit = `the limit is ${percent(one.limit)}`
      return isFailing
        ? `The gateway's cache of ${one.cache}s answers only ${measured(one, percent)} of its look-ups, ${lasting(one)}; ${limit}`
        : `The gateway's caches answer enough look-ups again; ${limit}`
    }
  }
}

/** Names of tools that are named, and their characters; of more only how many. A server may call them anything. */
const mostNamed = 5
const longestName = 64

function named(tools: readonly string[]): string {
  const more = tools.length - mostNamed
  const some = tools.slice(0, mostNamed).map((tool) => oneLine(tool).slice(0, longestName))
  return `${some.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

function measured({ value }: RuleCondition, inWords: (value: number) => string): string {
  return value === null ? 'an unknown share' : inWords(value)
}

function lasting({ forMs }: RuleCondition): string {
  return `for ${duration(forMs)} or longer`
}

/** `7 %`, `0.4 %`. */
function percent(share: number): string {
  const value = share * 100
  return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} %`
}
