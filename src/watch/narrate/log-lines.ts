import type { Log } from '../../log/index.ts'
import { amountInWords, excessInWords, resourceNames } from '../../record/limit-words.ts'
import type { News } from '../decide/cause.ts'
import type { UnitState } from '../decide/state.ts'
import type { Told } from '../unit.ts'
import {
  capitalized,
  dependencyOf,
  failureInWords,
  goingOut,
  listed,
  type Narrated,
  placeOf,
  processesInWords,
  reasonInWords,
  seconds,
  strayInWords,
} from './index.ts'

/** How the log tells something: what should be known, what goes on, what went well, what is wrong. */
type Tone = 'warn' | 'info' | 'good' | 'bad'

/** The log whose lines are about a unit as it is now: its name and its process may be others at the next line. */
export function unitLog(log: Log, { name }: Pick<Narrated, 'name'>, { phase, generation }: UnitState): Log {
  const process = 'identity' in phase ? { pid: phase.identity.pid } : {}
  return log.child({ unit: name, ...process, generation })
}

/** News as a line of the log. */
export function logLine(news: News, unit: Narrated): Told {
  const tone = toneOf(news)
  const level = tone === 'bad' ? 'error' : tone === 'warn' ? 'warn' : 'info'
  return { level, message: lineInWords(news, unit), good: tone === 'good' }
}

/** News as an alert tells it: what an operator must know without the log. It leaves this machine. */
export function alertText(news: News, about: Narrated): string {
  const unit = goingOut(about)
  switch (news.code) {
    case 'blocked':
      return `${cannotStart(unit)}: ${reasonInWords(news.reason, unit)} ${numbered(news)}`
    case 'short':
      return `${cannotStart(unit)}: ${news.shortage.words}`
    case 'dependency-silent': {
      const { process, dependency } = unit.vocabulary
      const kind = dependency?.kind ?? 'dependency'
      return `${lineInWords(news, unit)}; the ${process} works, the ${kind} must be started`
    }
    case 'dependency-answers':
      return `${capitalized(dependencyOf(unit))} of ${unit.name} answers again`
    default:
      return lineInWords(news, unit)
  }
}

function toneOf({ code }: News): Tone {
  switch (code) {
    case 'adopted':
    case 'started':
    case 'handed-over':
    case 'recovered':
    case 'seen-again':
    case 'dependency-answers':
    case 'within-limit':
      return 'good'
    case 'failed':
    case 'blocked':
    case 'short':
    case 'impossible':
    case 'unseen':
    case 'replacement-failed':
    case 'dependency-silent':
      return 'bad'
    case 'stale-pid-file':
    case 'left-behind':
    case 'detached':
    case 'taking-rest':
    case 'place-held':
    case 'not-ended':
    case 'not-seen':
    case 'other-process':
    case 'stray-asked':
    case 'given-up-by-supervisor':
    case 'other-options-of-supervisor':
    case 'paused':
    case 'flapping-supervised':
    case 'over-limit':
    case 'over-limit-again':
      return 'warn'
    default:
      return 'info'
  }
}

function lineInWords(news: News, unit: Narrated): string {
  const { name, vocabulary } = unit
  switch (news.code) {
    case 'absent':
      return `${name} is not running, starting it`
    case 'started':
      return `${name} started successfully (PID: ${news.pid})`
    case 'adopted':
      return `${name} is already running (PID: ${news.pid}), adopted`
    case 'handed-over':
      return `${name} was handed over to PID ${news.pid}`
    case 'other-process':
      return `${name} runs as PID ${news.pid}: PID ${news.before} has ended, and somebody started another`
    case 'failed':
      return `${name} ${failureInWords(news.reason, unit)} ${numbered(news)}`
    case 'blocked':
      return `${cannotStart(unit)}: ${reasonInWords(news.reason, unit)}; looking again every round ${numbered(news)}`
    case 'short':
      return `${cannotStart(unit)}: ${news.shortage.words}; trying again every few seconds`
    case 'postponed':
      return `${name} will be restarted in ${seconds(news.delayMs)}`
    case 'paused':
      return `${name} is flapping: ${often(news)}; restarts pause for ${seconds(news.pauseMs)}; the last failure: ${reasonInWords(news.reason, unit)}`
    case 'flapping-supervised':
      return `${name} is flapping: ${often(news)}; ${news.by} starts it again; the last failure: ${reasonInWords(news.reason, unit)}`
    case 'recovered':
      return `${name} works again`
    case 'left-to-supervisor':
      return `${name} is run by ${news.by}, which starts it again`
    case 'waits-for':
      return `${name} waits for ${listed(news.units)}`
    case 'completed':
      return `${name} has done its work (PID: ${news.pid})`
    case 'kept-by-supervisor':
      return `${name} is run by ${news.by} and keeps running; stop or restart it with systemctl`
    case 'given-up-by-supervisor':
      return `${name} was not started again by ${news.by}, and ${placeOf(unit)} is free: starting it here`
    case 'other-options-of-supervisor':
      return `${name} is run by ${news.by} with other options than are configured here; they are its unit's and left as they are`
    case 'replacing':
      return `${name} is being replaced: ${reasonInWords(news.reason, unit)}`
    case 'replacement-under-way':
      return `${name} is not replaced now: ${news.message}`
    case 'replacement-failed':
      return `${name} could not be replaced: ${news.message}; PID ${news.pid} keeps running`
    case 'adopting':
      return `${name} is served by ${strayInWords(news, unit)}: taking it over`
    case 'stray-asked':
      return `${name} is not started yet: ${reasonInWords(news, unit)}`
    case 'stale-pid-file':
      return `Stale PID file of ${name} removed: ${vocabulary.fault(news.fault)}`
    case 'detached':
      return `${name} is detached: ${reasonInWords(news, unit)}`
    case 'taking-rest':
      return `${name} is ${processesInWords(news.processes, unit)} from now on, which PID ${news.pid} left behind`
    case 'rest-gone':
      return `What PID ${news.pid} of ${name} had left behind has ended`
    case 'left-behind':
      return `PID ${news.pid} has left behind ${processesInWords(news.processes, unit)}: ended first`
    case 'ended':
      return news.isRest
        ? `What PID ${news.pid} of ${name} had left behind has ended`
        : `${name} was ended (PID: ${news.pid}): ${reasonInWords(news.reason, unit)}`
    case 'ended-behind':
      return `PID ${news.pid} of ${name} had handed over to PID ${news.successor} and has ended`
    case 'place-held': {
      const { kind, name: place } = vocabulary.place ?? { kind: 'place', name: `of ${name}` }
      return `${capitalized(kind)} ${place} is still held by ${processesInWords([news.holder], unit)}`
    }
    case 'unseen':
      return `${name} cannot be looked at: ${news.why}`
    case 'seen-again':
      return `${name} can be looked at again`
    case 'not-ended':
      return `${name} was not ended: ${vocabulary.fault(news.fault)}`
    case 'not-seen':
      return `${name} could not be looked at (${news.why}), so it was not ended if it runs`
    case 'dependency-silent':
      return `${capitalized(dependencyOf(unit))} of ${name} does not answer: ${news.error} ${numbered(news)}`
    case 'dependency-answers':
      return `${capitalized(dependencyOf(unit))} of ${name} answers again${after(news.afterMs)}`
    case 'over-limit':
      return `${name} uses ${excessInWords(news.resource, news.amount, news.limit)} (${news.samples} samples in a row)`
    case 'within-limit':
      return news.amount === undefined
        ? `${name} no longer has a limit for ${resourceNames[news.resource]}${after(news.afterMs)}`
        : `${name} is within its limit again with ${amountInWords(news.resource, news.amount)}${after(news.afterMs)}`
    case 'over-limit-again':
      return (
        `${name} is over its limit again and again: ${often(news)} have not helped; ` +
        `none for ${seconds(news.pauseMs)}, it uses ${excessInWords(news.resource, news.amount, news.limit)}`
      )
    case 'impossible':
      return `${name}: a fault in port-watchdog: while it is ${news.phase}, this cannot be: ${news.what}`
  }
}

function cannotStart({ name }: Narrated): string {
  return `${name} cannot be started`
}

function numbered({ failures }: { readonly failures: number }): string {
  return `(failure #${failures})`
}

function often({ restarts, windowMs }: { readonly restarts: number; readonly windowMs: number }): string {
  return `${restarts} restarts within ${seconds(windowMs)}`
}

function after(ms: number | undefined): string {
  return ms === undefined ? '' : ` after ${seconds(ms)}`
}
