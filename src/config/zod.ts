import { createRequire } from 'node:module'
import type { z as Zod } from 'zod'

/**
 * zod by require: its files are read one after another. Imported, all of them, with every language's messages, are opened at once, and a
 * process with a small limit of descriptors (`ulimit -n 96`) cannot read any configuration.
 */
export const z: typeof Zod = (createRequire(import.meta.url)('zod') as { readonly z: typeof Zod }).z
