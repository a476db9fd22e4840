// The app that everybody keeps alive: it sends back what it gets. The folder of its contender is its last word, so that it is found and ended.
import { createServer } from 'node:net'

createServer((socket) => {
  socket.on('error', () => {})
  socket.pipe(socket)
}).listen(Number(process.argv[2]), '127.0.0.1')
