import { countFailure } from './restarting.ts'
import { lookForItEveryMs, start } from './starting.ts'
import type { Context, Decision, Effect, ForwardPhase, ForwardState, Supervised } from './state.ts'
import { info, nothing, prepend, warn } from './words.ts'

/** What its unit says is for whoever wrote the unit to change: ending it would bring it back as it was. */
export function judgeSupervisedOptions(
  state: ForwardState,
  supervisor: Supervised,
  optionsMatch: boolean,
  { name }: Context,
): Decision {
  if (optionsMatch === !supervisor.toldOfOptions) return nothing(state)
  return {
    state: { ...state, supervisor: { ...supervisor, toldOfOptions: !optionsMatch } },
    effects: optionsMatch
      ? []
      : [
          warn(
            `${name} is run by ${supervisor.by} with other options than are configured here; they are its unit's and left as they are`,
          ),
        ],
  }
}

/** It would be back at once: whoever wants it down, or anew, tells systemd. */
export function leftToSupervisor(
  state: ForwardState,
  { by }: Supervised,
  order: 'stop' | 'restart',
  { name }: Context,
): Decision {
  const line = info(`${name} is run by ${by} and keeps running; stop or restart it with systemctl`)
  if (order === 'restart') return { state, effects: [line] }
  return { state: { ...state, phase: { id: 'down' }, healthySince: undefined }, effects: [line] }
}

/** The time has come to look whether it was started. */
export function lookForIt(state: ForwardState, until: number, { now }: Context): Decision {
  const next: Effect[] = now < until ? [{ kind: 'wake', at: Math.min(until, now + lookForItEveryMs) }] : []
  return { state, effects: [{ kind: 'check' }, ...next] }
}

/** While somebody holds the port, starting it is not for this monitor. A port that is free has been given up. */
export function stillAwaited(
  state: ForwardState,
  phase: Extract<ForwardPhase, { id: 'awaiting' }>,
  portHolder: string | undefined,
  context: Context,
): Decision {
  const { now, policy, name } = context
  if (now < phase.until || state.supervisor === undefined) return nothing(state)
  const { by } = state.supervisor
  if (portHolder === undefined) {
    const line = warn(`${name} was not started again by ${by}, and the port is free: starting it here`)
    return prepend([line], start({ ...state, supervisor: undefined }, context, 'none'))
  }
  const failed = countFailure(state, `was not started again by ${by}`, context)
  const why = `${by} has not started it again; the port is held by ${portHolder}`
  return {
    state: { ...failed.state, phase: { id: 'awaiting', until: now + policy.startTimeoutMs, why } },
    effects: failed.effects,
  }
}
