import type { ForwardOptions } from '../config/forward-options.ts'
import { type OptionSpecification, optionList, parserOf, withDefaults } from '../config/option-table.ts'
import { type Parsed, parseCount, parsePort, parseTargetHost, unixPath } from '../config/values.ts'

/** What `tcp-proxy` was told. */
export interface ForwarderWords {
  readonly forward: ForwardOptions
  /** Undefined = one of this user's own. */
  readonly stateDir: string | undefined
  /** The descriptor of the start report. Undefined = none. */
  readonly reportFd: number | undefined
}

interface Reading {
  readonly kind: OptionSpecification<unknown>['kind']
  readonly key: string
  readonly parse: (text: string) => Parsed<unknown>
}

const anyText = (text: string): Parsed<string> => ({ ok: true, value: text })

const readings: ReadonlyMap<string, Reading> = new Map([
  ...optionList.map(({ flag, key, specification }): [string, Reading] => {
    const parse = specification.kind === 'flag' ? anyText : parserOf(specification)
    return [flag, { kind: specification.kind, key, parse }]
  }),
  ['--state-dir', { kind: 'text', key: 'stateDir', parse: anyText }],
  ['--report-fd', { kind: 'count', key: 'reportFd', parse: parseCount }],
])

/**
 * Reads the words of `tcp-proxy` in the way that monitors and units write them. Commander's loading and reading would take a fifth of
 * a killed forwarder's way back.
 * @returns undefined for anything else (a mistake, `--help`, `--drain=5s`), which commander reads and explains. What is returned is
 *   what commander would have read.
 */
export function readPlainWords(words: readonly string[]): ForwarderWords | undefined {
  const places: string[] = []
  const given: Record<string, unknown> = {}
  for (let next = 0; next < words.length; ) {
    const word = words[next++] ?? ''
    if (!word.startsWith('-')) {
      places.push(word)
      continue
    }
    const reading = readings.get(word)
    if (reading === undefined) return undefined
    const { kind, key, parse } = reading
    if (kind === 'flag') {
      given[key] = true
      continue
    }
    const end =
      kind === 'list' ? words.findIndex((value, at) => at > next && value.startsWith('-')) : next + 1
    const texts = words.slice(next, end < 0 ? undefined : end)
    next += texts.length
    const values = texts.flatMap((text) => {
      const parsed = parse(text)
      return parsed.ok && (!text.startsWith('-') || text === '-') ? [parsed.value] : []
    })
    if (texts.length === 0 || values.length < texts.length) return undefined
    given[key] = kind === 'list' ? [...((given[key] as unknown[] | undefined) ?? []), ...values] : values[0]
  }
  return forwardTo(places, given)
}

function forwardTo(
  [port = '', host = '', targetPort, ...tooMany]: readonly string[],
  given: Readonly<Record<string, unknown>>,
): ForwarderWords | undefined {
  const listen = parsePort(port)
  const target = parseTargetHost(host)
  const isUnix = unixPath(host) !== undefined
  if (!listen.ok || !target.ok || isUnix !== (targetPort === undefined) || tooMany.length > 0)
    return undefined
  // A Unix socket has no port.
  const at: Parsed<number> = targetPort === undefined ? { ok: true, value: 0 } : parsePort(targetPort)
  if (!at.ok) return undefined
  const place = { listenPort: listen.value, targetHost: target.value, targetPort: at.value }
  return {
    forward: withDefaults(place, given),
    stateDir: given.stateDir as string | undefined,
    reportFd: given.reportFd as number | undefined,
  }
}
