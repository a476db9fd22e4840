import { rmSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { namesIn } from '../../src/os/directory-names.ts'
import { portsOnDisk } from '../../src/report/ports-on-disk.ts'
import { temporaryDirectory } from '../support/children.ts'

test('forwards on disk are those of now, also where the folder was looked at in the same moment', (t) => {
  const directory = temporaryDirectory(t)
  const file = (port: number) => path.join(directory, `tcp_proxy_${port}.pid`)
  for (let port = 1; port <= 50; port++) {
    writeFileSync(file(port), '')
    expect(portsOnDisk(directory).length).toBe(port)
  }
  // Long ago, so that what is known counts.
  utimesSync(directory, 1_000_000, 1_000_000)
  expect(portsOnDisk(directory).length).toBe(50)
  expect(namesIn(directory)).toBe(namesIn(directory))
  rmSync(file(7))
  expect(portsOnDisk(directory)).not.toContain(7)
  expect(portsOnDisk(path.join(directory, 'gone'))).toEqual([])
})
