import type { z as Zod } from 'zod'
import { type HttpOptions, httpDefaults, httpProblem } from './http-options.ts'
import type { Problem } from './problems.ts'
import { oneOrMore, text } from './schema-parts.ts'
import { parseHost, parseHttpPlace, parsePath } from './values.ts'
import * as z from './zod.ts'

export const http = z.strictObject({
  listen: text(parseHttpPlace).describe('where to serve the HTTP API: ADDRESS:PORT, such as 127.0.0.1:6280'),
  hosts: oneOrMore(text(parseHost))
    .optional()
    .describe('host names by which clients may call this host; IP addresses and localhost always work'),
  tlsCert: text(parsePath).optional().describe('certificate chain (PEM); clients speak TLS then'),
  tlsKey: text(parsePath).optional().describe('private key of tlsCert (PEM, not encrypted)'),
  tlsSelfSigned: z.boolean().optional().describe('TLS with a self-signed certificate for this machine'),
  tlsClientCa: text(parsePath)
    .optional()
    .describe('CA (PEM) whose certificates clients must show, besides their key'),
  insecure: z
    .boolean()
    .optional()
    .describe(
      'listen beyond loopback without TLS: everybody who can read the network traffic can read the keys',
    ),
})

type HttpEntry = Zod.output<typeof http>

/** What a file says of the API; undefined = it serves none. */
export function httpConfiguration(entry: HttpEntry | undefined): HttpOptions | undefined {
  if (entry === undefined) return undefined
  const { listen, hosts, tlsCert, tlsKey, tlsSelfSigned, tlsClientCa, insecure } = entry
  const defaults = httpDefaults
  return {
    listen,
    hosts: hosts ?? defaults.hosts,
    tlsCert: tlsCert ?? defaults.tlsCert,
    tlsKey: tlsKey ?? defaults.tlsKey,
    tlsSelfSigned: tlsSelfSigned ?? defaults.tlsSelfSigned,
    tlsClientCa: tlsClientCa ?? defaults.tlsClientCa,
    insecure: insecure ?? defaults.insecure,
  }
}

/** Keys of `http` that do not go together. */
export function httpProblems(entry: HttpEntry | undefined): Problem[] {
  const options = httpConfiguration(entry)
  const problem =
    options && httpProblem(options, (option) => (option === 'insecure' ? 'insecure: true' : option))
  return problem === undefined ? [] : [{ place: ['http'], text: `http: ${problem}` }]
}
