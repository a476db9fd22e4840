import { anyOf } from '../literal-regex.ts'
import type { PatternRules } from '../log-patterns.ts'

/** Plain words by the class of the lines that they stand in. */
type Words = Readonly<Partial<Record<'error' | 'warning' | 'info', readonly string[]>>>

/** At the priority of the usual words of a class, where a template's own win: what is no more than information is none of warning. */
const priorities = { error: 1, warning: 2, info: 2 } as const

function patterns(words: Words): { readonly patterns: PatternRules } {
  const rules = Object.entries(words).map(([name, of]) => {
    const priority = priorities[name as keyof typeof priorities]
    return [name, [{ regex: anyOf(...of), priority }]]
  })
  return { patterns: Object.fromEntries(rules) as PatternRules }
}

/** Failed requests in the log of a Python server: what failed has said so itself, or wanted it so. */
const failedRequests = ['HTTP/1.1" 5', 'HTTP/1.0" 5'] as const

/** What the frameworks of the templates say besides the usual words, which hold for every program (`program/output/usual-patterns.ts`). */
export const words = {
  vite: patterns({
    error: [
      'error when starting dev server',
      'Error when evaluating SSR module',
      'failed to load config from',
      'Failed to scan for dependencies',
      'are imported but could not be resolved',
      'Could not resolve ',
      'Transform failed with ',
    ],
    warning: [
      '(!) ',
      'points to missing source files',
      'Could not auto-determine entry point',
      'externalized for browser compatibility',
    ],
    info: [
      'hmr update ',
      'page reload ',
      'server restarted',
      'restarting server',
      'dependencies optimized',
      'optimized dependencies changed',
      'e-optimizing dependencies',
    ],
  }),
  nextjs: patterns({
    error: [
      '⨯ ',
      'Failed to start server',
      'Error occurred prerendering',
      'Build error occurred',
      'Hydration failed',
      'Invalid next.config',
    ],
    warning: ['⚠ ', 'Fast Refresh had to perform a full reload', ' 500 in '],
    info: ['✓ Compiled ', '○ Compiling ', '✓ Starting', '▲ Next.js'],
  }),
  express: patterns({
    error: ['[nodemon] app crashed'],
    warning: failedRequests,
    info: ['[nodemon] restarting due to changes', '[nodemon] starting ', 'erver running', 'erver started'],
  }),
  fastapi: patterns({
    warning: [...failedRequests, 'HTTP/1.1" 422'],
    // uvicorn calls its own reload a warning.
    info: ['detected changes in ', 'Uvicorn running on '],
  }),
  flask: patterns({
    error: ['is in use by another program', 'an ImportError was raised'],
    warning: failedRequests,
    // Said at each start.
    info: ['This is a development server', 'Restarting with ', 'Detected change in ', 'Debugger is active'],
  }),
  django: patterns({
    error: [
      'Internal Server Error: ',
      'That port is already in use',
      'SystemCheckError',
      'ImproperlyConfigured',
    ],
    warning: [
      ...failedRequests,
      'unapplied migration',
      'Not Found: ',
      'Bad Request: ',
      'Forbidden (',
      'Broken pipe from ',
    ],
    info: [
      'This is a development server',
      'Watching for file changes',
      'changed, reloading',
      'Performing system checks',
      'System check identified no issues',
    ],
  }),
  rails: patterns({
    error: [
      'Error (',
      'RecordNotFound (',
      'PendingMigrationError',
      'Migrations are pending',
      'A server is already running',
      'cannot load such file',
      'GemNotFound',
      'Could not find gem',
    ],
    warning: ['Completed 5', 'verify CSRF token authenticity', 'Unpermitted parameter'],
    info: ['=> Booting ', 'Puma starting'],
  }),
  static: patterns({ warning: ['code 404, ', 'code 5', ...failedRequests] }),
} as const
