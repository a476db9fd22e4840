import { test } from 'vitest'
import { type Watched, withWatched } from './watched.ts'

/**
 * `it` with what tests ask for by name: `async ({ watched }) => ...`. Each is made when a test asks for it, and taken down after it, also
 * when the test failed or ran out of time.
 */
export const it = test.extend<{ watched: Watched }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest wants a pattern, and this one needs no other fixture
  watched: ({}, use) => withWatched(use),
})
