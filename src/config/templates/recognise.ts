import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { isRecord, type ProgramTemplate, type Trait } from './index.ts'

/** The templates whose traits a folder has, the first of the list first. */
export function templatesFor(
  folder: string,
  templates: readonly ProgramTemplate[],
): readonly ProgramTemplate[] {
  const dependencies = dependenciesOf(folder)
  const requirements = requirementsOf(folder)
  const has = (trait: Trait) => {
    if ('dependency' in trait) return dependencies.has(trait.dependency)
    if ('requirement' in trait) return requirements.has(trait.requirement.toLowerCase())
    return existsSync(path.join(folder, trait.file))
  }
  const fitting = templates.filter(({ traits }) => traits.length > 0 && traits.every(has))
  const first = fitting.filter(({ isFallback }) => isFallback !== true)
  return first.length > 0 ? first : fitting
}

/** The Python of a folder's virtual environment, as a path in that folder; undefined when it has none. */
export function virtualPython(folder: string): string | undefined {
  return ['.venv/bin/python', 'venv/bin/python'].find((file) => existsSync(path.join(folder, file)))
}

function dependenciesOf(folder: string): ReadonlySet<string> {
  try {
    const manifest: unknown = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'))
    if (!isRecord(manifest)) return new Set()
    return new Set(
      [manifest.dependencies, manifest.devDependencies].flatMap((one) =>
        isRecord(one) ? Object.keys(one) : [],
      ),
    )
  } catch {
    return new Set()
  }
}

function requirementsOf(folder: string): ReadonlySet<string> {
  const names = ['requirements.txt', 'pyproject.toml', 'Pipfile'].flatMap((file) => {
    try {
      const lines = readFileSync(path.join(folder, file), 'utf8').toLowerCase().split('\n')
      return lines.flatMap(
        (line) =>
          /^[\s"']*([a-z0-9][a-z0-9._-]*)\s*(?:\[[^\]]*\]\s*)?(?:[<>=~!;"',\s]|$)/.exec(line)?.[1] ?? [],
      )
    } catch {
      return []
    }
  })
  return new Set(names)
}
