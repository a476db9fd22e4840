/** What `configChange:` allows the order `config-change`: templates, folders and names of variables. Left out = it changes nothing. */
import path from 'node:path'
import type { z as Zod } from 'zod'
import * as z from './zod.ts'

/** What the order may use. Limits, restarts, patterns and autostart of every program are allowed wherever this is there at all. */
export interface ChangePermission {
  /** Names of templates from which programs may be added. */
  readonly templates: readonly string[]
  /** Absolute: where an added program may run, or below. */
  readonly folders: readonly string[]
  /** Names of variables that may be set. */
  readonly env: readonly string[]
}

/**
 * Variables of loaders, shells, languages, package managers and frameworks, in capitals. A usual program that gets one of them may run other
 * code, load other files, or send its traffic elsewhere. The list cannot be complete: a short `env` protects, not this list.
 */
const powerful: ReadonlySet<string> = new Set([
  ...['PATH', 'HOME', 'SHELL', 'IFS', 'ENV', 'BASH_ENV', 'PS4', 'PROMPT_COMMAND', 'CDPATH', 'TMPDIR', 'PWD'],
  ...['EDITOR', 'VISUAL', 'PAGER', 'BROWSER', 'CLASSPATH', '_JAVA_OPTIONS', 'GCONV_PATH', 'GLIBC_TUNABLES'],
  ...[
    'HTTP_PROXY',
    'HTTPS_PROXY',
    'ALL_PROXY',
    'NO_PROXY',
    'RUBYOPT',
    'RUBYLIB',
    'FLASK_APP',
    'ESBUILD_BINARY_PATH',
  ],
  ...['DJANGO_SETTINGS_MODULE', 'ELECTRON_RUN_AS_NODE', 'DOTNET_STARTUP_HOOKS', 'PHPRC', 'PHP_INI_SCAN_DIR'],
])
const powerfulPrefixes = [
  ...[
    'LD_',
    'DYLD_',
    'NODE_',
    'NPM_',
    'YARN_',
    'PNPM_',
    'COREPACK_',
    'BUN_',
    'DENO_',
    'PYTHON',
    'PIP_',
    'UV_',
  ],
  ...['PERL', 'GEM_', 'BUNDLE_', 'JAVA_', 'JDK_', 'MALLOC_', 'OPENSSL_', 'SSL_CERT_', 'XDG_', 'GIT_', 'SSH_'],
  ...['BASH_FUNC_', 'COMPLUS_', 'CORECLR_', 'PORT_WATCHDOG_', 'GTK_', 'QT_', 'LUA_', 'CARGO_', 'RUSTC'],
]
/** Of those, what only says how a program behaves. */
const harmless: ReadonlySet<string> = new Set(['NODE_ENV', 'PYTHONUNBUFFERED'])

/** Whether a person who may set this variable could run any code with it. */
export function isPowerful(name: string): boolean {
  const capitals = name.toUpperCase()
  if (harmless.has(capitals)) return false
  return powerful.has(capitals) || powerfulPrefixes.some((prefix) => capitals.startsWith(prefix))
}

export const configChange = z.strictObject({
  templates: z
    .array(z.string().min(1))
    .optional()
    .describe('names of templates from which programs may be added; left out = none'),
  folders: z
    .array(z.string().min(1))
    .optional()
    .describe(
      'folders in which, or below which, added programs may run; relative to the folder of this file. Everybody who can write there can run any code',
    ),
  env: z
    .array(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable is letters, digits and "_"')
        .refine(
          (name) => !isPowerful(name),
          'whoever sets this variable can run other code; write it in env of the program',
        ),
    )
    .optional()
    .describe('names of variables that may be set for any program; left out = none'),
})

/** @param folder that of the file. */
export function changePermission(entry: Zod.output<typeof configChange>, folder: string): ChangePermission {
  const { templates = [], folders = [], env = [] } = entry
  return { templates, folders: folders.map((one) => path.resolve(folder, one)), env }
}

/** What a file allows, before it is known to be valid; undefined = nothing, or that part is not valid. */
export function permissionIn(content: unknown, folder: string): ChangePermission | undefined {
  const entry = (content as { readonly configChange?: unknown } | null)?.configChange
  const parsed = configChange.safeParse(entry)
  return parsed.success ? changePermission(parsed.data, folder) : undefined
}
