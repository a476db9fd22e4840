// The floor of floors: the least that a forwarder on Node's own handles can be. It shows what Node itself takes for a message and
// a connection: no limits, no log, no time limits, and no care. A write that the kernel does not take at once would garble what
// follows, so that it can carry small messages only.
// Usage: node handles.js LISTEN_PORT TARGET_PORT
import { createServer } from 'node:net'
import { acceptHandles, libuv, owner, type TcpHandle } from '../../../../src/forward/relay/libuv.ts'
import { Prefixes } from '../../../../src/forward/relay/prefixes.ts'

const [listenPort, targetPort] = process.argv.slice(2).map(Number)
if (listenPort === undefined || targetPort === undefined) {
  throw new Error('usage: handles LISTEN_PORT TARGET_PORT')
}
if (libuv === undefined) throw new Error('this Node has no such handles')
const { newTcpHandle, newConnectRequest, newShutdownRequest, newWriteRequest, bytesOrError } = libuv

interface Side {
  readonly handle: TcpHandle
  readonly other: Side
  ended: boolean
}

const buffer = Buffer.allocUnsafeSlow(64 * 1024)
const views = new Prefixes(buffer)
const write = newWriteRequest()

function onread(this: TcpHandle): undefined {
  const side = this[owner] as Side
  const { other } = side
  const length = bytesOrError()
  if (length > 0) {
    other.handle.writeBuffer(write, views.of(length))
  } else if (length < 0 && !side.ended) {
    side.ended = true
    if (other.ended) return close(side)
    const request = newShutdownRequest()
    request.handle = other.handle
    request.oncomplete = () => {}
    other.handle.shutdown(request)
  }
}

function close({ handle, other }: Side): undefined {
  handle.close()
  other.handle.close()
}

function join(client: TcpHandle, target: TcpHandle): void {
  const one: { handle: TcpHandle; other?: Side; ended: boolean } = { handle: client, ended: false }
  const other: Side = { handle: target, other: one as Side, ended: false }
  one.other = other
  client[owner] = one
  target[owner] = other
  for (const handle of [client, target]) {
    handle.onread = onread
    handle.useUserBuffer(buffer)
  }
  client.readStart()
}

const server = createServer()
server.listen({ port: listenPort, host: '127.0.0.1', backlog: 511 }, () => {
  acceptHandles(server, { keepAliveSeconds: 60 }, (client) => {
    const target = newTcpHandle()
    const request = newConnectRequest()
    request.oncomplete = () => join(client, target)
    target.connect(request, '127.0.0.1', targetPort)
    target.readStart()
  })
})
