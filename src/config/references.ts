import type { Place, Problem } from './problems.ts'
import { placeText } from './problems.ts'

/** `${NAME}` and nothing else: what is resolved, and where. */
const wholeReference = /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/

/**
 * What people write for a variable, or for a template that another program would have filled in: `${NAME}`, `${NAME:-x}`, an unclosed
 * `${NAME`, `$NAME`, `%NAME%`, `$(command)`, `{{ name }}`, `#{name}`, `<%= name %>`.
 */
const anyReference = /[$#]\{|\$[A-Za-z_(]|\{\{|<%|%[A-Za-z_][A-Za-z0-9_]*%/

/** In a URL, %41%42 are characters and no variable. */
const referenceInUrl = /[$#]\{|\$[A-Za-z_(]|\{\{|<%|%(?![0-9A-Fa-f]{2})[A-Za-z_][A-Za-z0-9_]*%/

/** `~/file` and `~user/file`, which only a shell replaces. */
const homeFolder = /^~[^/]*\//

/**
 * Values that look like a reference to a variable and are not resolved, or not wholly. Taken literally, they would name the wrong host, file
 * or secret. Secrets accept `${NAME}` alone; no other key accepts a reference.
 */
export function referencesIn(content: unknown): Problem[] {
  return [...unresolved(content, [])]
}

function* unresolved(value: unknown, place: Place): Generator<Problem> {
  if (typeof value === 'string') {
    const text = problemOf(value, place)
    if (text !== undefined) yield { place, text: `${placeText(place)}: ${text}` }
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      if (!isShellText(value, index, place)) yield* unresolved(item, [...place, index])
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      // Connectors have variables of their own: variables.ts.
      const isOfConnectors = place.length === 0 && key === 'connectors'
      const isForShell =
        key === 'command' && typeof item === 'string' && 'shell' in value && value.shell === true
      if (!isOfConnectors && !isForShell) yield* unresolved(item, [...place, key])
    }
  }
}

function problemOf(value: string, place: Place): string | undefined {
  const isOfAlerts = place[0] === 'alerts' && (place.at(-1) === 'url' || place.at(-1) === 'secret')
  const isOfStore = place[0] === 'gateway' && place[1] === 'store'
  if (isOfAlerts || isOfStore) {
    if (wholeReference.test(value) || !referenceInUrl.test(value)) return undefined
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a person writes it.
    return 'only a variable that is the whole value is replaced, as in ${NAME}; put all of the secret into one variable'
  }
  if (homeFolder.test(value)) {
    const what = 'begins with a home folder as a shell knows it; write the whole path'
    return place[0] === 'alerts' ? `it ${what}` : `"${value}" ${what}`
  }
  if (!anyReference.test(value)) return undefined
  const what =
    'looks like a variable, and variables are replaced in url and secret of alerts, and in url of gateway.store, only'
  return place[0] === 'alerts' ? `it ${what}` : `"${value}" ${what}; write the value itself`
}

/** What a shell gets to run is its own language: `[sh, -c, 'notify "$WHAT"']`. */
function isShellText(words: readonly unknown[], index: number, place: Place): boolean {
  const isShell = /(^|\/)(ba|da|z|a|k)?sh$/.test(String(words[0]))
  return place.at(-1) === 'command' && isShell && index > 1 && /^-[a-z]*c$/.test(String(words[index - 1]))
}
