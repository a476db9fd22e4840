/** What `gateway:` may say of access. */
import type { z as Zod } from 'zod'
import { type AccessConfiguration, accessDefaults, type RequestLimits } from './access-configuration.ts'
import { count, duration, oneOrMore, text } from './schema-parts.ts'
import type { Parsed } from './values.ts'
import * as z from './zod.ts'

const requests = z.strictObject({
  inFlight: count.optional().describe('requests under way at once; default 2000; beyond it 503'),
  inFlightPerKey: count.optional().describe('the same of one key or token; default 1500; beyond it 429'),
  inFlightPerSource: count.optional().describe('the same from one address; default 1500; beyond it 429'),
  ratePerKey: count.optional().describe('requests a second of one key or token; default 0 = any number'),
  ratePerSource: count.optional().describe('requests a second from one address; default 0 = any number'),
})

export const access = z.strictObject({
  legacyKeys: z
    .boolean()
    .optional()
    .describe(
      'true = keys are also taken from the header api-key and from ?api-key=, where proxies and browsers may record them; default false',
    ),
  lastUsed: duration
    .optional()
    .describe('how often the gateway writes when keys were last used; default 15m; 0 = never'),
  cors: oneOrMore(text(parseOrigin))
    .optional()
    .describe('origins whose web pages may use the gateway, such as https://app.example.com; default: none'),
  requests: requests.optional().describe('how many requests the gateway takes'),
})

/** Keys below those of `access`. */
export const accessKeys: Readonly<Record<string, readonly string[]>> = {
  access: Object.keys(access.shape),
  requests: Object.keys(requests.shape),
}

export function accessConfiguration(given: Zod.output<typeof access> = {}): AccessConfiguration {
  return {
    legacyKeys: given.legacyKeys ?? accessDefaults.legacyKeys,
    lastUsedMs: given.lastUsed ?? accessDefaults.lastUsedMs,
    cors: given.cors ?? accessDefaults.cors,
    requests: limitsOf(given.requests ?? {}),
  }
}

function limitsOf(given: Zod.output<typeof requests>): RequestLimits {
  const usual = accessDefaults.requests
  return {
    inFlight: given.inFlight ?? usual.inFlight,
    inFlightPerKey: given.inFlightPerKey ?? usual.inFlightPerKey,
    inFlightPerSource: given.inFlightPerSource ?? usual.inFlightPerSource,
    ratePerKey: given.ratePerKey ?? usual.ratePerKey,
    ratePerSource: given.ratePerSource ?? usual.ratePerSource,
  }
}

/** An origin as browsers send it: scheme, host and port, without a path. */
function parseOrigin(value: string): Parsed<string> {
  const isOrigin = URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
  return isOrigin && [value, `${value}/`].includes(new URL(value).href)
    ? { ok: true, value: new URL(value).origin }
    : { ok: false, problem: `"${value}" is no origin; write it as https://app.example.com` }
}
