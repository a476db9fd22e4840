import type { HttpOptions } from './http-options.ts'

/** The MCP gateway. */
export interface GatewayConfiguration {
  /** Where it serves HTTP; undefined = only stdio. */
  readonly http: HttpOptions | undefined
  /** The specification alone: no request without a session, headers as they must be. False = lenient towards clients on this machine. */
  readonly strict: boolean
  /** Files of MCP clients whose servers are connectors, too. Absolute. */
  readonly import: readonly string[]
}

export const gatewayDefaults: GatewayConfiguration = { http: undefined, strict: false, import: [] }
