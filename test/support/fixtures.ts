import { test } from 'vitest'
import { type Watched, withWatched } from './watched.ts'

/**
 * `it` with what tests ask for by name: `async ({ watched }) => ...`. `watched` is made when a test asks for it, and taken down after it,
 * also when the test failed or ran out of time. `shared` is one for all tests of the file that ask for it, for those that another's programs
 * do not disturb: see `sharePrograms`.
 */
export const it = test.extend<{ $file: { shared: Watched }; $test: { watched: Watched } }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest wants a pattern, and this one needs no other fixture
  watched: ({}, use) => withWatched(use),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  shared: [({}, use) => withWatched(use), { scope: 'file' }],
})
