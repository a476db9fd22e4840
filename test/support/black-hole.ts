import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'

/**
 * A port of 127.0.0.1 where connects get no answer: the program behind it is stopped, and its queue is full, so that the
 * kernel drops what comes.
 */
export async function openBlackHole(): Promise<{ port: number; close(): Promise<void> }> {
  const program = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
    process.stdout.write(this.address().port + '\\n') })`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  child.kill('SIGSTOP')
  const port = Number(line.toString())
  const fillers: net.Socket[] = []
  for (let silent = false; !silent; ) {
    const filler = net.connect(port, '127.0.0.1').on('error', () => {})
    fillers.push(filler)
    silent = await Promise.race([
      once(filler, 'connect').then(() => false),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 200)),
    ])
  }
  return {
    port,
    close: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
      for (const filler of fillers) filler.destroy()
    },
  }
}
