import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'

import type { ProcessList } from '../../src/report/processes.ts'
import { processLines } from '../../src/report/processes.ts'
import { columnsOf, plain } from '../../src/report/text.ts'
import { it } from '../support/fixtures.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

it('lists forwarders and monitors, monitored or not, and the old scripts', async ({ watched }) => {
  const echo = await echoServer()
  const [port, alone] = [await freePort(), await freePort()]
  const monitor = await watched.monitor([
    { name: 'web', listen: port, target: `127.0.0.1:${echo.port}`, workers: 2 },
  ])
  await watched.statusWhen('healthy', ({ forwards }) => forwards[0]?.state === 'healthy')
  const stray = watched.start('tcp-proxy', String(alone), '127.0.0.1', String(echo.port))
  await stray.line(/Listening/)
  const script = watched.file('monitor_proxy.sh')
  writeFileSync(script, 'exec 3<> <(:); echo ready; read -r -u 3')
  const old = watched.adopt(new Resident(['bash', script], {}))
  await old.line(/ready/)
  const list = JSON.parse((await watched.run('proxy-status', '--processes', '--json')).stdout) as ProcessList
  const of = (fits: (one: ProcessList['processes'][number]) => boolean) => list.processes.filter(fits)
  const [web] = of((one) => one.port === port && one.kind === 'forwarder')
  assert.deepEqual([web?.name, web?.monitoredBy], ['web', { what: 'monitor', pid: monitor.pid }])
  assert.equal(web?.stateDirectory, watched.directory)
  const [worker] = of((one) => one.kind === 'worker' && one.port === port)
  assert.deepEqual(worker?.monitoredBy, { what: 'forwarder', pid: web?.pid })
  const [unwatched] = of((one) => one.port === alone)
  assert.deepEqual([unwatched?.monitoredBy, unwatched?.isKnown], [null, true])
  assert.equal(of((one) => one.pid === monitor.pid)[0]?.kind, 'monitor')
  assert.equal(of((one) => one.pid === old.pid)[0]?.kind, 'old-monitor')
  const { code, stdout } = await watched.run('proxy-status', '--processes')
  assert.equal(code, 0)
  assert.match(stdout, new RegExp(`forwarder +${web?.pid} +${port} +web +\\S+ +monitor ${monitor.pid} +/`))
  assert.match(stdout, new RegExp(`forwarder +${stray.pid} +${alone} .*not monitored`))
  assert.match(stdout, new RegExp(`monitor_proxy\\.sh +${old.pid} .*old script`))
  for (let width = 1; width < 130; width++) {
    for (const line of processLines(list, width)) assert.ok(columnsOf(plain(line)) <= width)
  }
  await echo.close()
})

it('without any process says so', () => {
  const none = { schemaVersion: 1, takenAt: '', processes: [] } as const
  assert.equal(processLines(none, 80).map(plain).join(), 'No forwarder and no monitor is running here.')
})
