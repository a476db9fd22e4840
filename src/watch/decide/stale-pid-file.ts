import type { Context, Decision, Effect, ForwardState } from './state.ts'

/** Removes a PID file that counts for nothing; `why` undefined = there is none. */
export function clearStale(state: ForwardState, why: string | undefined, { port }: Context): Decision {
  return { state, effects: why === undefined ? [] : staleEffects(why, port) }
}

/** Says why, and removes it. */
export function staleEffects(why: string, port: number): Effect[] {
  return [
    {
      kind: 'log',
      level: 'warn',
      message: `Stale PID file found for port ${port}, removing... (${why})`,
      good: false,
    },
    { kind: 'remove-pid-file' },
  ]
}
