import type { Place } from '../views.ts'

/** What a path leads to. */
export interface PathPlace extends Place {
  readonly kind: 'mcp' | 'sse' | 'messages'
}

const form = /^\/(mcp|sse|messages)(?:\/p\/([^/]+)|\/([^/]*))?$/

/** `/mcp`, `/mcp/CONNECTOR`, `/mcp/p/PROFILE`, and the same with sse and messages; undefined = it is none of these. */
export function placeOf(path: string): PathPlace | undefined {
  const [whole, kind, profile, connector] = form.exec(path) ?? []
  return whole === undefined ? undefined : { kind: kind as PathPlace['kind'], profile, connector }
}

/** The path that a token must be for: messages belong to their stream. */
export function resourcePath(path: string): string {
  return path.replace(/^\/messages/, '/sse')
}
