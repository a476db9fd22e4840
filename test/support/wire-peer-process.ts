// A program on one of the machines of a lab: node wire-peer-process.js ROLE HOST PORT [...]. It tells what it sees, a line each.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Script } from './exact-bytes.ts'

// What few roles need is loaded by these alone: most peers live for an exchange.

const [role, host = '', portText, ...more] = process.argv.slice(2)
const at = { host, port: Number(portText) }

/** Sends back what it gets, and tells how each connection ended. */
async function echo(): Promise<void> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => tell(`connection ended with ${error.code}`))
    socket.on('end', () => tell('connection ended with FIN'))
    socket.pipe(socket)
  })
  await listen(server)
}

/** Sends without end, to whoever connects. */
async function source(): Promise<void> {
  const piece = Buffer.alloc(64 * 1024, 'source')
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => tell(`connection ended with ${error.code}`))
    const fill = () => {
      while (socket.writable && socket.write(piece)) {}
    }
    socket.on('drain', fill).resume()
    fill()
  })
  await listen(server)
}

async function listen(server: net.Server): Promise<void> {
  server.listen(at)
  await once(server, 'listening')
  tell('listening')
}

/** Moves bytes through an echo at a modest pace for so many ms, and tells whether they came back as they were. */
async function stream(): Promise<void> {
  const { receive } = await import('./relay-peers.ts')
  const socket = net.connect({ ...at, allowHalfOpen: true })
  await once(socket, 'connect')
  const sent = createHash('sha256')
  let echoed = 0
  socket.on('data', (chunk: Buffer) => {
    if (echoed === 0) tell('moving')
    echoed += chunk.length
  })
  const received = receive(socket)
  let length = 0
  const until = performance.now() + Number(more[0])
  while (performance.now() < until && !socket.destroyed) {
    const piece = randomBytes(20_000)
    sent.update(piece)
    length += piece.length
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain'), received])
    await sleep(10)
  }
  socket.end()
  const { bytes, end } = await received
  const isExact = createHash('sha256').update(bytes).digest('hex') === sent.digest('hex')
  tell(JSON.stringify({ end, length, received: bytes.length, isExact }))
}

/** Reads for ever and tells the first byte and the end. */
async function reader(): Promise<void> {
  const socket = net.connect(at)
  socket.once('data', () => tell('moving'))
  socket.resume()
  socket.on('error', (error: NodeJS.ErrnoException) => tell(`ended with ${error.code}`))
  socket.on('end', () => tell('ended with FIN'))
}

/** Says a line, tells what comes back, and again with every second: a stream that must stay. */
async function steady(): Promise<void> {
  const socket = net.connect(at)
  let count = 0
  socket.on('data', () => tell(`answer ${++count}`))
  socket.on('error', (error: NodeJS.ErrnoException) => tell(`ended with ${error.code}`))
  socket.on('end', () => tell('ended with FIN'))
  const say = () => socket.write('still there?')
  say()
  setInterval(say, 200)
}

/** Never stops connecting, one after the other, until SIGTERM; tells how often it got its answer and what else it saw. */
async function hammer(): Promise<void> {
  let answered = 0
  const otherwise: string[] = []
  process.on('SIGTERM', () => {
    tell(JSON.stringify({ answered, otherwise }))
    process.exit()
  })
  for (;;) {
    const fate = await askOnce()
    if (fate === 'hello') answered++
    else otherwise.push(fate)
    if (answered === 1) tell('hammering')
    await sleep(15)
  }
}

/** One exchange with an echo. */
async function ask(): Promise<void> {
  tell(await askOnce())
}

/** Exchanges until one has got its answer. */
async function reach(): Promise<void> {
  while ((await askOnce()) !== 'hello') await sleep(50)
  tell('reached')
}

function askOnce(): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(at)
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.on('close', () => resolve(answer))
    socket.end('hello')
  })
}

/** Random scripts both ways at once, with itself as the target: HOST PORT TARGET-HOST TARGET-PORT PAIRS. */
async function exchangeBytes(): Promise<void> {
  const { default: fc } = await import('fast-check')
  const { exchange, scripts } = await import('./exact-bytes.ts')
  const [targetHost, targetPort, pairs] = more
  const target = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
  target.listen({ host: targetHost, port: Number(targetPort) })
  await once(target, 'listening')
  // So many bytes as a bad wire carries in a few seconds.
  const fewBytes = scripts.map((script): Script => {
    const pieces = script.pieces.map((piece) => ({ ...piece, length: piece.length % 150_000 }))
    return { ...script, pieces: [...pieces, { length: 100_000, restTurns: 1 }] }
  })
  const sample = fc.sample(fc.tuple(fewBytes, fewBytes), { numRuns: Number(pairs) })
  tell(JSON.stringify(await exchange(at, target, sample)))
  target.close()
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`)
}

const roles: Readonly<Record<string, () => Promise<void>>> = {
  echo,
  source,
  stream,
  reader,
  steady,
  hammer,
  ask,
  reach,
  exchange: exchangeBytes,
}
const act = roles[role ?? '']
if (act === undefined) throw new Error(`no role ${role}`)
await act()
