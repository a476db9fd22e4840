// The floor: the forwarder everybody writes first. Half-close is kept, because without it replies get lost.
// Usage: node pipe.js LISTEN_PORT TARGET_PORT
import { connect, createServer } from 'node:net'

const [listenPort, targetPort] = process.argv.slice(2).map(Number)
if (listenPort === undefined || targetPort === undefined) {
  throw new Error('usage: pipe LISTEN_PORT TARGET_PORT')
}

createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const target = connect({ host: '127.0.0.1', port: targetPort, allowHalfOpen: true, noDelay: true })
  client.pipe(target)
  target.pipe(client)
  client.on('error', () => target.destroy())
  target.on('error', () => client.destroy())
}).listen(listenPort, '127.0.0.1')
