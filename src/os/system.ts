import type { System } from './backend.ts'
import { linux } from './linux/index.ts'

/** The one that answers in this process. */
export let system: System = linux

/** The variable that chooses the backend, for tests: `portable` on Linux, where both can be compared. Every process of ours needs the same. */
export const systemVariable = 'PORT_WATCHDOG_SYSTEM'

/** Chooses the backend. Every command does so once, before anything is asked; only what is chosen is loaded. */
export async function chooseSystem(
  wanted: string | undefined = process.env[systemVariable],
): Promise<System> {
  const isPortable = process.platform !== 'linux' || wanted === 'portable'
  system = isPortable ? (await import('./portable/index.ts')).portable : linux
  return system
}
