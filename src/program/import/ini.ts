/** One `key = value` of an ini file. */
export interface IniOption {
  readonly key: string
  readonly value: string
  /** From 1. */
  readonly line: number
}

export interface IniSection {
  readonly name: string
  readonly options: readonly IniOption[]
}

export interface IniFile {
  /** In the order of the file; a section that is there twice is one. */
  readonly sections: readonly IniSection[]
  /** Lines that are neither a section, an option, nor a comment. */
  readonly unread: readonly { readonly line: number; readonly text: string }[]
}

/** How the readers of circus and supervisord differ; both are Python's configparser. */
export interface IniRules {
  /** What begins a comment at the end of a line, after a blank. */
  readonly inlineComments: string
  /** Whether `Key` and `key` are two keys. */
  readonly caseSensitive: boolean
  /** Which of two options with the same key counts. */
  readonly twice: 'first' | 'last'
}

/**
 * Reads an ini file by the rules of Python's configparser. The ini packages of npm read other rules: no value over several lines, no comment at
 * the end of a line, quotes taken away.
 */
export function readIni(text: string, rules: IniRules): IniFile {
  const sections = new Map<string, Map<string, IniOption>>()
  const unread: { line: number; text: string }[] = []
  let section: Map<string, IniOption> | undefined
  let key: string | undefined
  let indentation = 0
  for (const [index, whole] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    if (whole.trim() === '' || /^\s*[#;]/.test(whole)) continue
    const line = withoutComment(whole, rules.inlineComments)
    if (line.trim() === '') continue
    const depth = line.length - line.trimStart().length
    const before = key === undefined ? undefined : section?.get(key)
    if (depth > indentation && before !== undefined && key !== undefined) {
      section?.set(key, { ...before, value: `${before.value}\n${line.trim()}` })
      continue
    }
    const [, name] = /^\[([^\]]+)\]/.exec(line.trim()) ?? []
    if (name !== undefined) {
      section = sections.get(name) ?? new Map()
      sections.set(name, section)
      key = undefined
      continue
    }
    const [, said = '', value] = /^([^=:]*?)\s*[=:]\s*(.*)$/.exec(line.trim()) ?? []
    if (section === undefined || value === undefined || said === '') {
      unread.push({ line: index + 1, text: line.trim() })
      key = undefined
      continue
    }
    key = rules.caseSensitive ? said : said.toLowerCase()
    indentation = depth
    if (section.has(key) && rules.twice === 'first') {
      key = undefined
      continue
    }
    section.set(key, { key, value: value.trim(), line: index + 1 })
  }
  return {
    sections: [...sections].map(([name, options]) => ({ name, options: [...options.values()] })),
    unread,
  }
}

function withoutComment(line: string, marks: string): string {
  for (let at = 1; at < line.length; at++) {
    if (marks.includes(line.charAt(at)) && /\s/.test(line.charAt(at - 1))) return line.slice(0, at).trimEnd()
  }
  return line
}
