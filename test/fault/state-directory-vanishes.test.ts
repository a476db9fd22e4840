import { rmSync } from 'node:fs'
import { it } from 'node:test'
import { until } from '../support/tools.ts'
import { askThrough, echoServer, freePort, withWatched } from '../support/watched.ts'

it(
  'A forward is started again although the state directory has vanished under the monitor',
  {
    timeout: 60_000,
  },
  () =>
    withWatched(async (watched) => {
      const echo = await echoServer()
      const port = await freePort()
      await watched.monitor([{ name: 'one', listen: port, target: `localhost:${echo.port}` }])
      await watched.statusWhen('healthy', ({ exitCode }) => exitCode === 0)
      const pid = watched.pid(port)
      rmSync(watched.directory, { recursive: true, maxRetries: 5 })
      process.kill(pid, 'SIGKILL')
      await until('the forward', async () => ((await askThrough(port)) === 'hello' ? true : undefined))
      await echo.close()
    }),
)
