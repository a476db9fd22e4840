import { remembered } from '../../os/remembered.ts'
import type { Place } from '../views.ts'

/** What a path leads to. */
export interface PathPlace extends Place {
  readonly kind: 'mcp' | 'sse' | 'messages'
  /** The path that a token must be for: messages belong to their stream. */
  readonly resource: string
}

const form = /^\/(mcp|sse|messages)(?:\/p\/([^/]+)|\/([^/]*))?$/

/** `/mcp`, `/mcp/CONNECTOR`, `/mcp/p/PROFILE`, and the same with sse and messages; undefined = it is none of these. */
export const placeOf = remembered((path: string): PathPlace | undefined => {
  const [whole, kind, profile, connector] = form.exec(path) ?? []
  if (whole === undefined) return undefined
  const resource = path.replace(/^\/messages/, '/sse')
  return { kind: kind as PathPlace['kind'], profile, connector, resource }
})
