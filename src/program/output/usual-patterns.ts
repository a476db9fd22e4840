import { anyOf } from '../../config/literal-regex.ts'
import type { PatternRules } from '../../config/log-patterns.ts'

/** The four classes, as they have always been: what each means does not change with a version. */
const four: PatternRules = {
  error: [{ regex: 'ERROR|Exception|Traceback', priority: 1 }],
  warning: [{ regex: 'WARNING|WARN', priority: 2 }],
  info: [{ regex: 'INFO|Starting|Stopping', priority: 3 }],
  debug: [{ regex: 'DEBUG', priority: 4 }],
}

/** What the usual frameworks and runtimes say. Plain words only: they are looked for in every line. */
const words: PatternRules = {
  error: [
    {
      regex: anyOf(
        // Node, Python, Go, Rust, Ruby, Java, C: `TypeError: …` and the like, and how each says that it ends.
        'Error: ',
        'error: ',
        'error[E',
        'error TS',
        'FATAL',
        'fatal: ',
        'CRITICAL',
        'panic: ',
        'panicked at',
        'Unhandled',
        'Uncaught',
        'ERR_',
        'Cannot find module',
        'Segmentation fault',
        'JavaScript heap out of memory',
        'undefined method',
        // What the system answers.
        'EADDRINUSE',
        'ECONNREFUSED',
        'EACCES',
        'ENOENT',
        'ENOSPC',
        'address already in use',
        'Address already in use',
        // Vite, webpack, Next.js, esbuild, TypeScript.
        'Failed to compile',
        'Failed to resolve',
        'Build failed',
        'Module not found',
        'Internal server error',
        'npm ERR!',
        'npm error',
        // What structured loggers write (pino, bunyan, zap, logrus, slog).
        '"level":50',
        '"level":60',
        '"level":"error"',
        '"level":"fatal"',
        'level=error',
        'level=fatal',
      ),
      priority: 1,
    },
  ],
  warning: [
    {
      regex: anyOf(
        'warning: ',
        'Warning: ',
        '[warn]',
        'deprecated',
        'Deprecated',
        'DEPRECATED',
        'DeprecationWarning',
        '"level":40',
        '"level":"warn',
        'level=warn',
      ),
      priority: 2,
    },
  ],
  info: [
    {
      regex: anyOf(
        'ready in ',
        'Ready in ',
        'istening on ',
        'istening at ',
        'started server on',
        'Compiled successfully',
        'Application startup complete',
        'unning on http',
        'Local: ',
        '"level":30',
        '"level":"info"',
        'level=info',
      ),
      priority: 3,
    },
  ],
  debug: [{ regex: anyOf('"level":20', '"level":10', '"level":"debug"', 'level=debug'), priority: 4 }],
}

export const usualPatterns: readonly PatternRules[] = [four, words]
