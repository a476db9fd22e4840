import { afterAll, beforeAll, describe } from 'vitest'
import { chooseSystem, systemVariable } from '../../src/os/system.ts'

/**
 * Runs tests once with each backend of os/: this process and every program that it starts ask /proc, then `ps` and `lsof`, as on macOS.
 */
export function onEverySystem(what: string, define: (name: 'linux' | 'portable') => void): void {
  describe.each(['linux', 'portable'] as const)(`${what} (%s)`, (name) => {
    beforeAll(async () => {
      process.env[systemVariable] = name
      await chooseSystem()
    })
    afterAll(async () => {
      delete process.env[systemVariable]
      await chooseSystem()
    })
    define(name)
  })
}
