import type { Parsed } from '../config/values.ts'

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/**
 * A time in the past, as ISO 8601 in UTC: how long ago (`90s`, `10m`, `2h`, `3d`, `1w`), or a date, or a date and time
 * (ISO 8601, with a blank instead of the T if you like); without offset it is this machine's time.
 */
export function parseSince(text: string, now = Date.now()): Parsed<string> {
  const ago = /^(\d{1,9})([smhdw])$/.exec(text)
  if (ago !== null) return time(now - Number(ago[1]) * unitMs[ago[2] as keyof typeof unitMs], text)
  const date = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text)
  const [, day, clock = '00:00', zone = ''] = date ?? []
  return time(day === undefined ? Number.NaN : Date.parse(`${day}T${clock}${zone}`), text)
}

function time(ms: number, text: string): Parsed<string> {
  const date = new Date(ms)
  if (Number.isNaN(date.getTime())) {
    return { ok: false, problem: `"${text}" is no time; write 10m, 2h, 3d, 2026-11-21 or 2026-11-21T14:30` }
  }
  return { ok: true, value: date.toISOString() }
}
