// Asks a port of this machine again and again, on many connections at once, until it is told to stop: PORT none|wrong DEPTH RATE.
// DEPTH requests are sent on each connection at once; RATE is how many are sent a second at most. No key, or a wrong one. Says every now and then
// how many it has sent.
import { connect } from 'node:net'

const [port = 0, depth = 1, rate = 0] = [2, 4, 5].map((place) => Number(process.argv[place]))
const key = process.argv[3] === 'wrong' ? `Authorization: Bearer pwk_abcdefghij_${'A'.repeat(43)}\r\n` : ''
const requests = `GET /api/list HTTP/1.1\r\nHost: localhost\r\n${key}\r\n`.repeat(depth)
const mostOpen = 64
let asked = 0
let open = 0

function ask(): void {
  open++
  const socket = connect(port, '127.0.0.1', () => {
    asked += depth
    socket.write(requests)
  })
  socket.resume()
  socket.on('error', () => {})
  socket.on('close', () => {
    open--
    more()
  })
}

const began = performance.now()

function more(): void {
  const elapsed = performance.now() - began
  while (open < mostOpen && asked + open * depth < (elapsed / 1000) * rate) ask()
}

setInterval(more, 1)
setInterval(() => process.send?.(asked), 20)
process.once('disconnect', () => process.exit(0))
