import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { chooseSystem, system } from '../../src/os/system.ts'
import { identityOf, judgeProcess, type ProcessIdentity } from '../../src/process/identity.ts'
import { forwardersOf, healthyAs, startMonitor } from './monitored.ts'
import { freePort, until } from './tools.ts'
import { askThrough, echoServer, withWatched } from './watched.ts'

// Runs inside a PID namespace of its own, where it may say which number the next process gets.

/** Starts a stranger that has exactly this PID. Others may be faster to take the number, so it is tried until it fits. */
async function strangerWithPid(pid: number): Promise<ProcessIdentity> {
  // Where start times are known to the second, two processes that begin within one are the same.
  if (system.name === 'portable') await new Promise((resolve) => setTimeout(resolve, 1000))
  return await until(`PID ${pid} to be given again`, async () => {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1))
    const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' })
    if (child.pid === pid) return identityOf(pid)
    child.kill('SIGKILL')
    return undefined
  })
}

await chooseSystem()
await withWatched(async (watched) => {
  const echo = await echoServer()
  const port = await freePort()
  const forwards = [{ name: 'one', listen: port, target: `localhost:${echo.port}` }]

  // Reused while no monitor ran.
  const first = await startMonitor(watched, { forwards })
  const { pid } = await healthyAs(watched, port)
  await first.stop('SIGKILL')
  process.kill(pid, 'SIGKILL')
  await until('it to be reaped', async () => identityOf(pid) === undefined || undefined)
  const stranger = await strangerWithPid(pid)
  const second = await startMonitor(watched, { forwards })
  await second.line(new RegExp(`Stale PID file .*PID ${pid} is another process now`))
  const back = await healthyAs(watched, port, pid)
  assert.equal(judgeProcess(stranger), 'alive', 'the stranger must survive')
  await second.stop('SIGKILL')

  // Reused under a monitor that adopted it and does not run for the moment.
  const third = await startMonitor(watched, { forwards, words: ['--stop-forwards'] })
  await third.line(/adopted/)
  process.kill(third.pid, 'SIGSTOP')
  process.kill(back.pid, 'SIGKILL')
  await until('it to be reaped', async () => identityOf(back.pid) === undefined || undefined)
  const other = await strangerWithPid(back.pid)
  process.kill(third.pid, 'SIGCONT')
  const again = await healthyAs(watched, port, back.pid)
  assert.deepEqual(forwardersOf(watched, port), [again.pid])
  assert.equal(await askThrough(port), 'hello')
  assert.equal(await third.stop(), 0)
  for (const one of [stranger, other]) {
    assert.equal(judgeProcess(one), 'alive', 'the stranger must survive')
    process.kill(one.pid, 'SIGKILL')
  }
  await echo.close()
})
process.stdout.write('PID reuse survived\n')
