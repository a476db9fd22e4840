// A target that sets cookies with the names of the gate's own.
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'

let target: Server
let gate: GateUnderTest
let cookie: string
let setCookie: string[] = []

beforeAll(async () => {
  target = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'set-cookie': setCookie })
    response.end('answer')
  })
  target.on('upgrade', (request, socket) => {
    const cookies = setCookie.map((value) => `Set-Cookie: ${value}\r\n`).join('')
    const refused = request.url === '/refused'
    const first = refused
      ? 'HTTP/1.1 400 No\r\nContent-Length: 0\r\n'
      : 'HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    socket.end(`${first}${cookies}\r\n`)
  })
  gate = await startGate(await listen(target))
  cookie = await logIn(gate)
})
afterAll(async () => {
  await gate.close()
  target.close()
})

/** The head of the answer to a wish for a WebSocket. */
function upgrade(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(gate.port, '127.0.0.1')
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk
    })
    socket.on('close', () => resolve(text))
    const lines = [`GET ${path} HTTP/1.1`, `Host: 127.0.0.1:${gate.port}`, `Cookie: ${cookie}`]
    lines.push('Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13')
    socket.write(`${lines.join('\r\n')}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  })
}

describe("A target's Set-Cookie", () => {
  it('replaces or removes no session, whatever its form, and other cookies stay', async () => {
    const { cookieName } = gate.secrets
    const own = [
      `${cookieName}=stolen`,
      `${cookieName}=; Max-Age=0`,
      ` ${cookieName} =x; Path=/deeper`,
      `__Host-${cookieName}=x; Secure; Path=/`,
      `__Secure-${cookieName}=x; Secure`,
      // Browsers send a cookie without a name as its value.
      `=${cookieName}=x`,
      cookieName,
    ]
    const others = ['a=1; HttpOnly', `${cookieName}2=x`, `x${cookieName}=x`, 'b=2']
    setCookie = [...others.slice(0, 2), ...own, ...others.slice(2)]
    expect((await ask(gate.port, { headers: { cookie } })).headers['set-cookie']).toEqual(others)
    for (const path of ['/', '/refused']) {
      const cookies = (await upgrade(path)).match(/^set-cookie: .*(?=\r$)/gim)
      expect(cookies).toEqual(others.map((value) => `set-cookie: ${value}`))
    }
    setCookie = own
    expect((await ask(gate.port, { headers: { cookie } })).headers['set-cookie']).toBeUndefined()
    expect((await ask(gate.port, { headers: { cookie } })).status).toBe(200)
  })
})
