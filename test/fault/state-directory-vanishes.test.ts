import { it } from '../support/fixtures.ts'
import { freePort, removeInUse, until } from '../support/tools.ts'
import { askThrough, echoServer } from '../support/watched.ts'

it('A forward is started again although the state directory has vanished under the monitor', async ({
  watched,
}) => {
  const echo = await echoServer()
  const port = await freePort()
  await watched.monitor([{ name: 'one', listen: port, target: `localhost:${echo.port}` }])
  await watched.statusWhen('healthy', ({ exitCode }) => exitCode === 0)
  const pid = watched.pid(port)
  removeInUse(watched.directory)
  process.kill(pid, 'SIGKILL')
  await until('the forward', async () => ((await askThrough(port)) === 'hello' ? true : undefined))
  await echo.close()
})
