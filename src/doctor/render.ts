import { printable } from '../os/printable.ts'
import type { Level } from './check.ts'
import type { Diagnosis } from './examine.ts'

const signs: Readonly<Record<Level, string>> = { ok: '✓', note: '•', warning: '!', error: '✗' }
const colours: Readonly<Record<Level, number>> = { ok: 32, note: 36, warning: 33, error: 31 }

/**
 * The findings for people, each with its cure below it.
 * @param width columns; sentences are wrapped between words.
 */
export function renderDiagnosis(
  diagnosis: Diagnosis,
  { colour, width }: { colour: boolean; width: number },
): string {
  const paint = (level: Level, text: string) => (colour ? `\u001b[${colours[level]}m${text}\u001b[0m` : text)
  const lines = diagnosis.findings.flatMap(({ level, what, cure }) => {
    const told = wrapped(printable(what).replaceAll('\n', ' '), width - 2)
    const cured =
      cure === null
        ? []
        : wrapped(`→ ${printable(cure).replaceAll('\n', ' ')}`, width - 4).map((line) => `    ${line}`)
    return [
      ...told.map((line, index) => (index === 0 ? `${paint(level, signs[level])} ${line}` : `  ${line}`)),
      ...cured,
    ]
  })
  return `${[...lines, '', summary(diagnosis)].join('\n')}\n`
}

function summary({ findings, stateDirectory }: Diagnosis): string {
  const count = (level: Level) => findings.filter((finding) => finding.level === level).length
  const parts = [
    [count('error'), 'error'],
    [count('warning'), 'warning'],
    [count('note'), 'note'],
  ] as const
  const told = parts
    .filter(([number]) => number > 0)
    .map(([number, word]) => `${number} ${word}${number === 1 ? '' : 's'}`)
  return `${told.length === 0 ? 'everything is in order' : told.join(', ')} · state directory ${stateDirectory}`
}

/** Lines of at most `width` columns, broken at blanks; a longer word stays whole, so that it can be copied. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}
