import { fileURLToPath } from 'node:url'

/** Two folders up from src/os, dist/src/os, or dist/src/parts, where scripts/bundle puts what several programs share. */
const above = new URL('../../', import.meta.url)

const root = above.pathname.endsWith('/dist/') ? new URL('../', above) : above

/** The absolute path of a file of this package, by its path from the folder of package.json. */
export function packageFile(file: string): string {
  return fileURLToPath(new URL(file, root))
}
