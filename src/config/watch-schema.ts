/** What `watch` of a program may say in a configuration file. */
import type { z as Zod } from 'zod'
import { programDefaults, type WatchRules } from './program-configuration.ts'
import { duration, oneOrMore } from './schema-parts.ts'
import * as z from './zod.ts'

const glob = z
  .string()
  .min(1)
  .refine((text) => !text.startsWith('!'), 'write what does not count into ignore, without "!"')

const globs = oneOrMore(glob).refine((all) => all.length > 0, 'name at least one file, folder or glob')

const rules = z.strictObject({
  files: globs.describe('globs, files or folders, relative to cwd of the program'),
  ignore: oneOrMore(glob)
    .optional()
    .describe(
      'globs of files that do not count; one without "/" matches names in any folder. node_modules, caches of Python, names that begin with "." and temporary files of editors never count, unless files names them',
    ),
  debounce: duration
    .optional()
    .describe('how long no file may change before the program is restarted; default 300ms'),
  poll: duration
    .refine((ms) => ms === 0 || ms >= 100, 'write 0, or at least 100ms')
    .optional()
    .describe(
      'how often to look at the files, on file systems that report no changes, such as network shares and folders of the host in some containers; default 0',
    ),
})

export const watch = z.union([globs, rules])

export const watchKeys: readonly string[] = Object.keys(rules.shape)

export function watchRules(entry: Zod.output<typeof watch> | undefined): WatchRules | undefined {
  if (entry === undefined) return undefined
  const { files, ignore = [], debounce, poll } = Array.isArray(entry) ? { files: entry } : entry
  const usual = programDefaults.watch
  return { files, ignore, debounceMs: debounce ?? usual.debounceMs, pollMs: poll ?? usual.pollMs }
}
