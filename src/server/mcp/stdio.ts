import type { Transport } from '@modelcontextprotocol/server'
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio'
import { orders } from '../../orders/index.ts'
import { defaultWaitMs } from '../../orders/order.ts'
import { oneLine } from '../../os/printable.ts'
import { ControlRoad } from './control-road.ts'
import { mcpServer } from './index.ts'
import { ListenedUris, listenedIn } from './listened-uris.ts'
import { Traffic } from './traffic.ts'
import { endingAfter, UnderWay } from './under-way.ts'

/** Bytes of a message. What a client sends is small; the SDK ends the connection at a longer one. */
const longestMessage = 4 * 1024 * 1024

/** ms that calls have to be answered after the client has closed standard input: as long as an order waits by itself. */
const lastAnswersMs = defaultWaitMs

/**
 * Serves MCP on standard input and output until the client closes them and the calls under way are answered. Needs no monitor to begin with: calls say when none runs.
 * @param say gets what goes wrong on the connection, for stderr.
 */
export async function serveMcpOnStdio(stateDirectory: string, say: (line: string) => void): Promise<void> {
  const road = new ControlRoad(stateDirectory, (name) => {
    return orders.find((order) => order.name === name)?.changes ?? true
  })
  const traffic = new Traffic()
  const listened = new ListenedUris()
  const underWay = new UnderWay()
  // The SDK's transport ends with its input, and drops what is under way.
  const input = process.stdin.pipe(endingAfter(underWay, lastAnswersMs))
  process.stdin.once('error', () => input.end())
  const inner = new StdioServerTransport(input, process.stdout, { maxBufferSize: longestMessage })
  let isOver = () => {}
  const over = new Promise<void>((resolve) => {
    isOver = resolve
  })
  const handle = serveStdio(({ era }) => mcpServer({ road, traffic, era, listened }), {
    transport: heard(inner, listened, underWay, isOver),
    onerror: (error) => say(oneLine(error.message)),
  })
  process.stdout.once('error', isOver)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, isOver)
  await over
  await handle.close()
  process.stdin.destroy()
  input.destroy()
}

/** The same transport, heard by us, too: the SDK answers requests for streams by itself and does not tell what they are for. */
function heard(
  inner: StdioServerTransport,
  listened: ListenedUris,
  underWay: UnderWay,
  isOver: () => void,
): Transport {
  const outer: Transport = {
    start: () => inner.start(),
    send: async (message) => {
      await inner.send(message)
      underWay.went(message)
    },
    close: () => inner.close(),
  }
  inner.onmessage = (message) => {
    underWay.came(message)
    outer.onmessage?.(message)
    const uris = listenedIn(message)
    if (uris === undefined) return
    listened.onOpen()
    for (const uri of uris) listened.add(uri)
  }
  inner.onerror = (error) => outer.onerror?.(error)
  inner.onclose = () => {
    outer.onclose?.()
    isOver()
  }
  return outer
}
