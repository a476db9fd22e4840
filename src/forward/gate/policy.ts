/**
 * What the gate changes in a target's content security policies, so that its own script runs and pages of others cannot frame what is
 * behind it. Policies come as one header: several are separated by commas, and each restricts further.
 */
import type { OriginMap } from './origins.ts'

/** The directives that judge a script tag, the first that is there alone (CSP 3, section 6.8.3). */
const scriptDirectives = ['script-src-elem', 'script-src', 'default-src']

/**
 * Lets one script tag in that bears a nonce, and nothing else.
 * @returns the header, and whether the tag needs the nonce.
 */
export function letScriptIn(header: string, nonce: string): { header: string; needsNonce: boolean } {
  let needsNonce = false
  const policies = header.split(',').map((policy) => {
    const directives = policy
      .split(';')
      .map((directive) => directive.trim().split(/\s+/))
      .filter(([name]) => name !== '')
    const named = (wanted: string) => directives.find(([name]) => name?.toLowerCase() === wanted)
    const directive = scriptDirectives.map(named).find((found) => found !== undefined)
    if (directive === undefined) return policy.trim()
    const [name = '', ...sources] = directive
    const allowed = sources.filter((source) => source.toLowerCase() !== "'none'")
    // A nonce would make browsers ignore 'unsafe-inline', on which the page may depend.
    const isInline = isInlineAllowed(allowed)
    if (isInline && !allowed.includes("'self'")) allowed.push("'self'")
    if (!isInline) {
      needsNonce = true
      allowed.push(`'nonce-${nonce}'`)
    }
    if (name.toLowerCase() === 'default-src') directives.push(['script-src', ...allowed])
    else directive.splice(1, sources.length, ...allowed)
    return directives.map((words) => words.join(' ')).join('; ')
  })
  return { header: policies.join(', '), needsNonce }
}

function isInlineAllowed(sources: readonly string[]): boolean {
  const lower = sources.map((source) => source.toLowerCase())
  return (
    lower.includes("'unsafe-inline'") &&
    !lower.some((source) => /^'(nonce-|sha\d+-|strict-dynamic')/.test(source))
  )
}

/**
 * The policy that only pages of this gate and of its family may frame an answer: a page of any other port of the host could steal
 * clicks, since the browser sends it the session.
 */
export function framePolicy(origins: OriginMap): string {
  return `frame-ancestors ${["'self'", ...origins.family].map(policySource).join(' ')}`
}

/** A policy cannot name an IPv6 address (CSP 3, section 2.3.1); any host on that port is the nearest it can say. */
export function policySource(text: string): string {
  return text.replace(/\/\/\[[0-9a-f:.]+\]/gi, '//*')
}
