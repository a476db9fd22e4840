import { readChannelHealth } from '../../alert/channel-records.ts'
import { sendTestAlerts, type TestedChannel } from '../../alert/test-alert.ts'
import type { ChannelHealth } from '../../record/shapes/alerts.ts'
import { type Check, type Finding, failed, note, ok, warning } from '../check.ts'

/** What the monitor has written of one channel. */
export function judgeChannel({ name, state, lastError, queued, dropped }: ChannelHealth): Finding[] {
  const waiting = queued === 0 ? '' : `; ${queued} messages wait`
  const findings: Finding[] = []
  if (state === 'disabled') {
    findings.push(
      failed(
        'channel-disabled',
        `alert channel ${name} is switched off, because its receiver refuses: ${lastError}${waiting}`,
        'correct it in the configuration, then: port-watchdog doctor --test-alerts',
      ),
    )
  } else if (state === 'retrying') {
    findings.push(
      warning(
        'channel-fails',
        `alert channel ${name} fails: ${lastError}${waiting}`,
        'check its receiver, then: port-watchdog doctor --test-alerts',
      ),
    )
  } else if (state === 'untried') {
    findings.push(
      note(
        'channel-untried',
        `alert channel ${name} has not sent anything yet`,
        'port-watchdog doctor --test-alerts',
      ),
    )
  } else {
    findings.push(ok('channel', `alert channel ${name} works`))
  }
  if (dropped > 0)
    findings.push(
      warning('alerts-lost', `alert channel ${name} has lost ${dropped} messages, because too many waited`),
    )
  return findings
}

/** How the test message of one channel went. */
export function judgeTest({ name, problem }: TestedChannel): Finding {
  if (problem === undefined) return ok('test-alert-sent', `alert channel ${name} took the test message`)
  const cure = 'correct it in the configuration, then: port-watchdog doctor --test-alerts'
  return failed('test-alert-failed', `alert channel ${name} did not take the test message: ${problem}`, cure)
}

export const alertChannels: Check = {
  name: 'alert-channels',
  run: async ({ configuration, stateDirectory, testAlerts }) => {
    const channels = configuration?.alerts.channels ?? []
    if (configuration === undefined) return []
    if (channels.length === 0) {
      return [
        note(
          'no-alert-channels',
          'no alert channel is configured: you are not notified when something breaks',
          'add alerts to the configuration: man port-watchdog.yaml',
        ),
      ]
    }
    if (testAlerts) return (await sendTestAlerts(configuration.alerts)).map(judgeTest)
    const health = readChannelHealth(stateDirectory)
    return channels.flatMap(({ name }) => {
      const known = health.find((one) => one.name === name)
      return known === undefined
        ? [
            note(
              'channel-untried',
              `alert channel ${name} has not sent anything yet`,
              'port-watchdog doctor --test-alerts',
            ),
          ]
        : judgeChannel(known)
    })
  },
}
