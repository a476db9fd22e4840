import { Alerts } from '../../src/alert/alerts.ts'
import { alertDefaults } from '../../src/config/alert-options.ts'
import { Secret } from '../../src/config/secret.ts'
import { plainLog } from '../../src/log/index.ts'
import { factsOf, quick } from './alert-room.ts'

/**
 * A monitor's alert room alone, to be killed: `DIRECTORY URL RUN COUNT`. Reports that `steady` fails, as every monitor would, and opens
 * COUNT incidents; prints `queued NAME` for each as soon as it is in the queue.
 */
const [stateDirectory = '', url = '', run = '', count = '0'] = process.argv.slice(2)

const alerts = new Alerts(
  {
    ...alertDefaults,
    groupMs: 0,
    channels: [{ type: 'webhook', name: 'hook', url: new Secret(url), secret: undefined }],
  },
  { stateDirectory, log: plainLog(() => {}), tuning: { ...quick, timeoutMs: 300 } },
)
alerts.report('opened', factsOf('steady', 'fails all the time'))
process.stdout.write('queued steady\n')
for (let number = 0; number < Number(count); number++) {
  alerts.report('opened', factsOf(`run-${run}-${number}`, 'fails'))
  process.stdout.write(`queued run-${run}-${number}\n`)
  await new Promise(setImmediate)
}
// Stays until it is killed: what waits is delivered.
setInterval(() => {}, 60_000)
