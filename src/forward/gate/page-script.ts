import { sha256 } from './sha256.ts'

/**
 * What a page of the target is given by the gate, as a script before its own. The Inspector's pages are written for localhost,
 * and two things there are different from an address on the network:
 *
 * 1. Browsers offer `crypto.randomUUID` and `crypto.subtle` on localhost and on https only; without them Inspector 2.x cannot
 *    connect. `crypto.getRandomValues`, from which the first is made here, is there on every page; of the second it is SHA-256
 *    that MCP clients use.
 * 2. Browsers send cookies to another port only when the page asks for it (`credentials: 'include'`). Inspector 1.x calls
 *    its proxy on 6277 from the page on 6274 and does not ask, so its requests would arrive without the session.
 *    This asks for it, and only for the other ports behind the same gate.
 *
 * @param familyPorts the other ports behind the same gate.
 */
export function pageScript(familyPorts: readonly string[]): string {
  return `(() => {
  'use strict'
  const familyPorts = ${JSON.stringify(familyPorts)}
  const isFamily = (address) => {
    try {
      const { protocol, hostname, port } = new URL(address, document.baseURI)
      return protocol === location.protocol && hostname === location.hostname && port !== location.port && familyPorts.includes(port)
    } catch {
      return false
    }
  }
  if (crypto.randomUUID === undefined) {
    crypto.randomUUID = () => {
      const bytes = crypto.getRandomValues(new Uint8Array(16))
      bytes[6] = (bytes[6] & 0x0f) | 0x40
      bytes[8] = (bytes[8] & 0x3f) | 0x80
      const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    }
  }
  if (crypto.subtle === undefined) {
    const sha256 = ${sha256.toString()}
    const digest = async (algorithm, data) => {
      const name = typeof algorithm === 'string' ? algorithm : algorithm.name
      if (name.toUpperCase() !== 'SHA-256') throw new DOMException(name + ' is there on https only', 'NotSupportedError')
      const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)
      return sha256(bytes).buffer
    }
    Object.defineProperty(crypto, 'subtle', { value: { digest }, configurable: true })
  }
  const plainFetch = window.fetch
  window.fetch = function fetch(input, init) {
    const address = input instanceof Request ? input.url : input
    return isFamily(address)
      ? plainFetch.call(this, input, { ...init, credentials: 'include' })
      : plainFetch.call(this, input, init)
  }
  const PlainEventSource = window.EventSource
  window.EventSource = class EventSource extends PlainEventSource {
    constructor(address, init) {
      super(address, isFamily(address) ? { ...init, withCredentials: true } : init)
    }
  }
})()
`
}
