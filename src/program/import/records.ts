/** Reading of what YAML and JSON files hold, whose writers quote a number or not. */

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export const read = {
  /** A text; numbers and flags as they are written; undefined for everything else. */
  text(value: unknown): string | undefined {
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : undefined
  },

  number(value: unknown): number | undefined {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
    return typeof number === 'number' && Number.isFinite(number) ? number : undefined
  },

  record(value: unknown): Readonly<Record<string, unknown>> {
    return isRecord(value) ? value : {}
  },

  /** Variables as a mapping or as a list of `NAME=value`. What has no value is left out. */
  variables(value: unknown): Record<string, string> {
    if (Array.isArray(value)) {
      return Object.fromEntries(
        value.flatMap((one) => {
          const [, name, text] = /^([^=]+)=([\s\S]*)$/.exec(String(one)) ?? []
          return name === undefined || text === undefined ? [] : [[name.trim(), text]]
        }),
      )
    }
    return Object.fromEntries(
      Object.entries(read.record(value)).flatMap(([name, one]) => {
        const text = read.text(one)
        return text === undefined ? [] : [[name, text]]
      }),
    )
  },
}

/** A value in one line, as a remark shows it. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
}
