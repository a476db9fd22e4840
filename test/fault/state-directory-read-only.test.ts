// A state directory on a disk that is read-only, as in a container whose root is.
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { freePort, run } from '../support/tools.ts'
import { command } from '../support/watched.ts'

/** The words that run a command with a read-only disk at that place, in a mount namespace that goes with it. */
function onReadOnlyDisk(place: string, argv: readonly string[]): string[] {
  const script = 'mount -t tmpfs -o ro,mode=700 none "$1" && shift && exec "$@"'
  return ['unshare', '--mount', 'sh', '-c', script, 'sh', place, ...argv]
}

describe.skipIf(process.getuid?.() !== 0)('A read-only state directory', () => {
  it('is refused at the start, in one line that says what to do', async ({ watched: { directory } }) => {
    const words = [String(await freePort()), 'localhost', '1', '--state-dir', directory]
    const { code, stderr } = await run(onReadOnlyDisk(directory, command('tcp-proxy', ...words)))
    expect(stderr).toMatch(
      /^tcp-proxy: state directory \S+ cannot be used: EROFS: .*; choose another --state-dir\n$/,
    )
    expect(code).toBe(78)
  })
})
