import path from 'node:path'
import { Document, isMap, isSeq, type Node, type YAMLMap } from 'yaml'
import type { Imported, ProgramEntry, Remark } from './imported.ts'
import { isRecord, shown } from './records.ts'
import { remarkText } from './remarks.ts'

/** The keys that a configuration knows: those of a program, and of the objects in it by their key. */
export type KnownKeys = Readonly<Record<string, readonly string[]>>

/** Takes out of the entries what the configuration does not know; a remark says what. */
export function fitting(imported: Imported, known: KnownKeys): Imported {
  const lost: Remark[] = []
  const programs = imported.programs.map((entry) => {
    const kept: Record<string, unknown> = {}
    const inOrder = [...(known.programs ?? []), ...Object.keys(entry)].filter((key) => key in entry)
    for (const key of new Set(inOrder)) {
      const value: unknown = entry[key as keyof ProgramEntry]
      const lose = (place: string, what: unknown) =>
        lost.push({
          program: entry.name,
          where: `${entry.name}.${place}`,
          what: shown(what),
          why: 'no-equivalent',
          instead: place === 'oneshot' ? 'autostart: false, and start it by an order' : null,
        })
      const inner = known[key]
      if (known.programs?.includes(key) !== true) lose(key, value)
      else if (inner === undefined || !isRecord(value)) kept[key] = value
      else {
        const fits = Object.entries(value).filter(([part]) => inner.includes(part))
        for (const [part, what] of Object.entries(value)) {
          if (!inner.includes(part)) lose(`${key}.${part}`, what)
        }
        if (fits.length > 0) kept[key] = Object.fromEntries(fits)
      }
    }
    // What runs once would be started again and again.
    if (entry.oneshot === true && kept.oneshot === undefined) kept.autostart = false
    return kept as unknown as ProgramEntry
  })
  return { programs, adapted: imported.adapted, notCarriedOver: [...imported.notCarriedOver, ...lost] }
}

/** The entries with folders that are seen from another one. @param from the folder they are written for. */
export function seenFrom(imported: Imported, from: string, to: string): Imported {
  if (from === to) return imported
  const moved = (file: string) => path.relative(to, path.resolve(from, file)) || '.'
  return {
    ...imported,
    programs: imported.programs.map((entry) => ({
      ...entry,
      cwd: path.isAbsolute(entry.cwd ?? '') ? (entry.cwd ?? '') : moved(entry.cwd ?? '.'),
      ...(entry.envFile === undefined || path.isAbsolute(entry.envFile)
        ? {}
        : { envFile: moved(entry.envFile) }),
    })),
  }
}

/** The entries as a configuration file; each remark is a comment above the program that it is about. */
export function yamlOf({ programs, notCarriedOver, adapted }: Imported, heading: string): string {
  const document = new Document({ programs })
  const remarks = [...adapted, ...notCarriedOver]
  const ofFile = remarks.filter(({ program }) => !programs.some(({ name }) => name === program))
  document.commentBefore = [heading, ...ofFile.map(remarkText)].map((line) => ` ${line}`).join('\n')
  const list = document.get('programs')
  for (const [index, item] of (isSeq<YAMLMap>(list) ? list.items : []).entries()) {
    const own = remarks.filter(({ program }) => program === programs[index]?.name)
    if (own.length > 0) item.commentBefore = own.map((remark) => ` ${remarkText(remark)}`).join('\n')
    item.spaceBefore = index > 0
    for (const pair of item.items) {
      const value = pair.value as Node
      // A list of words on one line, as people write a command.
      const isShort = !/\n/.test(JSON.stringify(value).replaceAll('\\n', '\n'))
      if (isShort && (isSeq(value) || (isMap(value) && String(pair.key) !== 'env'))) value.flow = true
    }
  }
  return document.toString({ lineWidth: 0 })
}
