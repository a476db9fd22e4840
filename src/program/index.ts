/**
 * program/: a managed program: what it is to the watchdog, when it is ready, and what becomes of its output.
 *
 *   `ProgramConfiguration` (config/) -> `unit/` (ProgramUnit: start, probe, end) -> `ready/` (when it has started), `output/` (what it prints)
 *
 * `import/` reads the configurations of other process managers. `watch/` judges it as any other unit. A new way of being ready is a file in `ready/`; a new fault is a code in `unit/vocabulary.ts` and the
 * place in `unit/index.ts` that finds it.
 */
export { type LeadingForwards, ProgramUnit } from './unit/index.ts'
