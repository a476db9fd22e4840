import path from 'node:path'
import picomatch from 'picomatch'
import type { WatchRules } from '../../config/program-configuration.ts'

/** One glob, from the folder on in which it begins. */
interface Rule {
  /** Absolute. */
  readonly base: string
  /** Folders below `base` in which it may match. */
  readonly depth: number
  /** It names one file: meant, wherever that is. */
  readonly isLiteral: boolean
  readonly matches: (relative: string) => boolean
}

/** Folders that hold what others have made; one that a glob names counts all the same. */
const madeByOthers = ['node_modules', '__pycache__']

/** What editors leave beside a file while they save it; their hidden files match no glob anyway. */
const ofEditors = ['*~', '#*#', '4913', '*___jb_tmp___', '*___jb_old___']

/** What counts as a file of the program, and where to look for such files. */
export class FileRules {
  readonly #rules: readonly Rule[]
  readonly #isIgnored: (relative: string) => boolean
  readonly #cwd: string
  readonly #apart: readonly string[]

  /**
   * @param cwd absolute; relative globs begin there.
   * @param apart folders that never count: those that this program writes to.
   */
  constructor({ files, ignore }: WatchRules, cwd: string, apart: readonly string[]) {
    this.#cwd = cwd
    this.#apart = apart.map((folder) => path.resolve(folder))
    this.#rules = files.flatMap((glob) => rulesOf(glob, cwd))
    const usual = madeByOthers.filter((name) => !files.some((glob) => glob.split('/').includes(name)))
    const matchers = [...usual, ...ofEditors, ...ignore].map((glob) =>
      // One without a slash is for names anywhere.
      picomatch(path.isAbsolute(glob) ? path.relative(cwd, glob) : glob.replace(/^\.\/|\/$/g, ''), {
        basename: true,
        dot: true,
      }),
    )
    this.#isIgnored = (relative) => matchers.some((matches) => matches(relative))
  }

  /** Where globs begin, absolute. */
  get bases(): readonly string[] {
    return [...new Set(this.#rules.map(({ base }) => base))]
  }

  /** Whether a file counts. @param file absolute. */
  isWanted(file: string): boolean {
    if (this.#isIgnored(path.relative(this.#cwd, file))) return false
    return this.#rules.some((rule) => {
      const { base, matches } = rule
      if (!isWithin(base, file) || !matches(path.relative(base, file))) return false
      return !this.#isApart(file, rule) && !this.#isOfApart(file, rule)
    })
  }

  /** Whether files that count may be in a folder, or below it. @param folder absolute. */
  leadsToWanted(folder: string): boolean {
    if (this.#rules.some(({ base }) => base === folder || isWithin(folder, base))) return true
    if (this.#isIgnored(path.relative(this.#cwd, folder))) return false
    return this.#rules.some((rule) => {
      const { base, depth } = rule
      const isNear = isWithin(base, folder) && path.relative(base, folder).split(path.sep).length <= depth
      return isNear && !this.#isApart(folder, rule)
    })
  }

  /** As a person calls a file: from the folder of the program on. */
  nameOf(file: string): string {
    return path.relative(this.#cwd, file) || '.'
  }

  /** Within a folder that never counts. Who names that folder, or one in it, means it. */
  #isApart(file: string, { base }: Rule): boolean {
    return this.#apart.some((folder) => {
      return base !== folder && !isWithin(folder, base) && (file === folder || isWithin(folder, file))
    })
  }

  /** Its own files are in the folder itself, and wildcards do not mean them where the program is there, too. */
  #isOfApart(file: string, { isLiteral }: Rule): boolean {
    return !isLiteral && this.#apart.includes(path.dirname(file))
  }
}

/** A name without wildcards may be that of a file, or of a folder with all that is in it. */
function rulesOf(glob: string, cwd: string): readonly Rule[] {
  const { base, glob: rest } = picomatch.scan(glob)
  const from = path.resolve(cwd, base)
  if (rest !== '') return [ruleOf(from, rest)]
  const literal = path.basename(from)
  const matches = (relative: string) => relative === literal
  const file = { base: path.dirname(from), depth: 0, isLiteral: true, matches }
  return [file, ruleOf(from, '**')]
}

function ruleOf(base: string, glob: string): Rule {
  const depth = glob.includes('**') ? Number.POSITIVE_INFINITY : glob.split('/').length - 1
  return { base, depth, isLiteral: false, matches: picomatch(glob) }
}

function isWithin(folder: string, file: string): boolean {
  return file.startsWith(folder.endsWith(path.sep) ? folder : folder + path.sep)
}
