import type { Context, Decision, Effect, ForwardState } from './state.ts'

/** Removes a PID file that counts for nothing; `why` undefined = there is none. */
export function clearStale(state: ForwardState, why: string | undefined, { name }: Context): Decision {
  return { state, effects: why === undefined ? [] : staleEffects(why, name) }
}

/** Says why, and removes it. */
export function staleEffects(why: string, name: string): Effect[] {
  return [
    {
      kind: 'log',
      level: 'warn',
      message: `Stale PID file of ${name} removed: ${why}`,
      good: false,
    },
    { kind: 'remove-pid-file' },
  ]
}
