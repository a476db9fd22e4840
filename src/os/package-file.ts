import { fileURLToPath } from 'node:url'

/** Two folders up from src/os, dist/src/os, or dist/bin/lib, where scripts/bundle puts the programs. */
const above = new URL('../../', import.meta.url)

const root = above.pathname.endsWith('/dist/') ? new URL('../', above) : above

/** The absolute path of a file of this package, by its path from the folder of package.json. */
export function packageFile(file: string): string {
  return fileURLToPath(new URL(file, root))
}
