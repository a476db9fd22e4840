/** What `socket` of a program may say in a configuration file. */
import { isIP } from 'node:net'
import type { z as Zod } from 'zod'
import type { Problem } from './problems.ts'
import type { ListenAddress } from './program-configuration.ts'
import { oneOrMore, port } from './schema-parts.ts'
import * as z from './zod.ts'

const address = z.strictObject({
  port: port.describe('the TCP port'),
  host: z
    .string()
    .refine((text) => isIP(text) !== 0, 'must be an IP address of this machine, such as 127.0.0.1 or ::')
    .optional()
    .describe('the address; default 127.0.0.1'),
})

export const socket = oneOrMore(z.union([port, address]))

export const socketKeys: readonly string[] = Object.keys(address.shape)

type SocketEntry = Zod.output<typeof socket>

export function listenAddresses(entry: SocketEntry | undefined): readonly ListenAddress[] {
  return (entry ?? []).map((one) => {
    const { port: number, host = '127.0.0.1' } = typeof one === 'number' ? { port: one } : one
    return { host, port: number }
  })
}

/** A port that the monitor holds tells nothing of the program: it has the socket from its first moment on. */
export function socketProblems(
  programs: readonly {
    readonly socket?: SocketEntry | undefined
    readonly ready?: { readonly port?: number | undefined } | undefined
    readonly health?: { readonly port?: number | undefined } | undefined
  }[],
): Problem[] {
  return programs.flatMap((program, index) => {
    const held = listenAddresses(program.socket)
    return (['ready', 'health'] as const).flatMap((key): Problem[] => {
      const asked = program[key]?.port
      if (!held.some(({ port: number }) => number === asked)) return []
      const text = `programs[${index}].${key}.port: the monitor listens on port ${asked} itself (socket), so this does not show whether the program is ready; use http, log or command`
      return [{ place: ['programs', index, key, 'port'], text }]
    })
  })
}
