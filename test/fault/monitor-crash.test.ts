import { readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { it } from '../support/fixtures.ts'
import { healthyAs, launchMonitor, monitorCommand } from '../support/monitored.ts'
import { Resident } from '../support/resident.ts'
import { freePort } from '../support/tools.ts'
import { echoServer } from '../support/watched.ts'

/** A fault of the monitor, on SIGUSR2: an error whose message is in a file. */
const fault = (messageFile: string) => `
  import { readFileSync } from 'node:fs'
  if (process.argv[1]?.endsWith('proxy-monitor.cjs')) {
    process.once('SIGUSR2', () => {
      throw new TypeError(readFileSync(${JSON.stringify(messageFile)}, 'utf8'))
    })
  }`

describe('A monitor that ends because of a fault in its own program', { timeout: 60_000 }, () => {
  it('says so as the last line of its log, with the stack in the ring, and without any secret', async ({
    watched,
  }) => {
    const [echo, port] = [await echoServer(), await freePort()]
    const hook = 'http://127.0.0.1:9/services/T01234567/B01234567/abcdefghijklmnop'
    const forwards = [{ name: 'web', listen: port, target: `localhost:${echo.port}`, gate: 'token' }]
    const argv = monitorCommand(watched, { forwards })
    const file = watched.file('configuration.json')
    const alerts = { channels: [{ type: 'webhook', name: 'hook', url: hook }] }
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), alerts }))
    const [preload, messageFile] = [watched.file('fault.mjs'), watched.file('message')]
    writeFileSync(preload, fault(messageFile))
    const monitor = watched.adopt(new Resident(argv, { NODE_OPTIONS: `--import=${preload}` }))
    await monitor.line(/Monitor started/)
    await healthyAs(watched, port)
    // The look that restores it also reads the token that the forwarder has made.
    unlinkSync(watched.file('events.jsonl'))
    await monitor.line(/Restored missing files/)
    const gateToken = readFileSync(watched.file('gate_token'), 'utf8').trim()
    const secrets = [gateToken, 'abcdefghijklmnop', 'hunter2', 's3cr3t']
    writeFileSync(
      messageFile,
      `${hook} ${gateToken} https://admin:hunter2@example.com MCP_PROXY_AUTH_TOKEN=s3cr3t`,
    )
    process.kill(monitor.pid, 'SIGUSR2')
    expect(await monitor.ended()).toBe(70)

    const people = readFileSync(watched.file('proxy_monitor.log'), 'utf8')
    const ring = readFileSync(watched.file('proxy-logs.jsonl'), 'utf8')
    const said =
      'The monitor crashed: [redacted] [redacted] https://[redacted]@example.com MCP_PROXY_AUTH_TOKEN=[redacted]'
    expect(people.trimEnd().split('\n').at(-1)).toMatch(/^\S+ \S+ ✗ /)
    expect(people.trimEnd().endsWith(said)).toBe(true)
    expect(JSON.parse(ring.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({
      level: 'fatal',
      message: said,
      err: { type: 'TypeError', stack: expect.stringContaining('fault.mjs') },
    })
    for (const name of ['proxy_monitor.log', 'proxy-logs.jsonl', 'events.jsonl', 'runtime-state.json']) {
      const text = readFileSync(watched.file(name), 'utf8')
      for (const secret of secrets) expect(text, name).not.toContain(secret)
    }
    const next = launchMonitor(watched, { forwards })
    await next.line(/Monitor started/)
    expect(await next.stop()).toBe(0)
    await echo.close()
  })
})
