import { afterEach } from 'vitest'
import { type Forward, openForward, openTarget, type Target } from './forward.ts'

/** What the tests of one file open, closed after each of them, the last one first. */
export interface Opened {
  /** Has something closed after the test. */
  kept<T extends Closable>(opened: T): T
  /** Closes something before that. */
  close(opened: Closable): Promise<void>
  /** As `openTarget`. */
  target(...words: Parameters<typeof openTarget>): Promise<Target>
  /** As `openForward`. */
  forward(...words: Parameters<typeof openForward>): Promise<Forward>
}

interface Closable {
  close(): unknown
}

/** For the top of a test file. */
export function openedForEachTest(): Opened {
  const open: Closable[] = []
  const kept = <T extends Closable>(opened: T): T => {
    open.push(opened)
    return opened
  }
  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each.close()
  })
  return {
    kept,
    close: async (opened) => {
      open.splice(open.indexOf(opened), 1)
      await opened.close()
    },
    target: async (...words) => kept(await openTarget(...words)),
    forward: async (...words) => kept(await openForward(...words)),
  }
}
