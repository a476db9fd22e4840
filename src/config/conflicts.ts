import { SocketAddress } from 'node:net'
import path from 'node:path'
import { isLoopback, isWildcard, unmapped } from '../os/interfaces.ts'
import { isIP } from '../os/ip-address.ts'
import { circleThrough } from './circle.ts'
import type { ForwardConfiguration } from './configuration.ts'
import { type ForwardOptions, targetsOf } from './forward-options.ts'
import { instancesOf } from './instances.ts'
import { type Place, type Problem, placeText } from './problems.ts'
import { type ProgramConfiguration, portOf } from './program-configuration.ts'
import { type HostAndPort, parseHostAndPort, unixPath } from './values.ts'

/** What is this machine's: its addresses, and the name by which it knows itself. */
export interface OwnMachine {
  readonly addresses: readonly string[]
  readonly hostname: string
}

/** Something that a forward listens on, or connects to: `tcp` addresses of one port, or the path of a Unix socket. */
interface Endpoint {
  /** Its place in the file. */
  readonly place: Place
  readonly text: string
  readonly address: string
  /** 0 for a Unix socket, whose path is the address. */
  readonly port: number
}

/**
 * Units of one file that cannot work together: they listen on what another one listens on, or they lead to each other in a circle,
 * so that one connection would become thousands.
 */
export function conflictsIn(
  forwards: readonly ForwardConfiguration[],
  programs: readonly ProgramConfiguration[],
  machine: OwnMachine,
): Problem[] {
  const overlaps = overlapsIn(forwards, programs)
  return [...overlaps, ...circlesIn(forwards, machine)]
}

/** @param countOf how many copies of a program run. */
export function overlapsIn(
  forwards: readonly ForwardConfiguration[],
  programs: readonly ProgramConfiguration[],
  countOf: (program: ProgramConfiguration) => number = ({ instances }) => instances?.count ?? 1,
): Problem[] {
  const seen = new Map<number, Endpoint[]>()
  const problems: Problem[] = []
  const add = (endpoint: Endpoint) => {
    const ofPort = seen.get(endpoint.port) ?? []
    const other = ofPort.find((one) => overlap(one, endpoint))
    ofPort.push(endpoint)
    seen.set(endpoint.port, ofPort)
    if (other === undefined) return
    const [here, there] = [placeText(endpoint.place), placeText(other.place)]
    problems.push({
      place: endpoint.place,
      text: `${here}: ${endpoint.text} is taken already by ${other.text} of ${there}`,
    })
  }
  for (const [index, { options }] of forwards.entries()) {
    for (const endpoint of listenersOf(options, index)) add(endpoint)
    const served = metricsOf(options, index)
    if (served !== undefined && isTargetOfAny(options, served)) {
      const text = `${placeText(served.place)}: ${served.text} is the target of the same forward`
      problems.push({ place: served.place, text })
    }
  }
  for (const [index, program] of programs.entries()) {
    for (const { host, port } of program.sockets) {
      const text = `${host}, port ${port},`
      add({ place: ['programs', index, 'socket'], text, address: plainAddress(host), port })
    }
    for (const endpoint of portsOf(program, countOf(program), index)) add(endpoint)
  }
  return problems
}

/** It may listen on all addresses, or on loopback alone, which the same-port rule leaves to it. */
function portsOf(program: ProgramConfiguration, count: number, index: number): Endpoint[] {
  const place = ['programs', index, 'ready', program.ready?.probe.kind ?? 'port']
  return instancesOf(program, count).flatMap(({ ready }) => {
    const port = portOf(ready?.probe)
    const isHeld = program.sockets.some((held) => held.port === port)
    return port === undefined || isHeld ? [] : [{ place, text: `port ${port}`, address: '127.0.0.1', port }]
  })
}

/** What is wrong with the address of a lone forward's --metrics, in words: its own target or its own listener stands there. */
export function metricsConflict(options: ForwardOptions): string | undefined {
  const served = metricsOf(options, 0)
  if (served === undefined) return undefined
  if (isTargetOfAny(options, served)) return `--metrics ${served.text} is the target; give another port`
  const own = tcpListenersOf(options, 0).find((one) => overlap(one, served))
  if (own !== undefined) return `--metrics ${served.text} is where the forward listens; give another port`
  return undefined
}

function listenersOf(options: ForwardOptions, index: number): Endpoint[] {
  const metrics = metricsOf(options, index)
  return [
    ...tcpListenersOf(options, index),
    ...options.listenUnix.map((file, number) => ({
      place: ['forwards', index, 'listenUnix', number],
      text: file,
      address: path.normalize(file),
      port: 0,
    })),
    ...(metrics === undefined ? [] : [metrics]),
  ]
}

function tcpListenersOf(options: ForwardOptions, index: number): Endpoint[] {
  const port = options.listenPort
  if (options.bind.length > 0) {
    return options.bind.map((address, number) => ({
      place: ['forwards', index, 'bind', number],
      text: `${address}, port ${port},`,
      address: plainAddress(address),
      port,
    }))
  }
  // Under the same-port rule loopback stays the target's.
  const address = isSamePort(options) ? othersThanLoopback : '0.0.0.0'
  return [{ place: ['forwards', index, 'listen'], text: `port ${port}`, address, port }]
}

function metricsOf(options: ForwardOptions, index: number): Endpoint | undefined {
  const parsed = options.metrics === '' ? undefined : parseHostAndPort(options.metrics)
  if (parsed === undefined || !parsed.ok) return undefined
  const { host, port } = parsed.value
  const address = isLocalhost(host) ? '127.0.0.1' : plainAddress(host)
  return { place: ['forwards', index, 'metrics'], text: options.metrics, address, port }
}

/** Every address of the machine but loopback: what a forward binds whose target is on loopback on the same port. */
const othersThanLoopback = 'all but loopback'

/** Whether who binds one cannot bind the other. `::` takes IPv4, too. */
function overlap(one: Endpoint, other: Endpoint): boolean {
  if (one.port !== other.port) return false
  return (
    one.address === other.address || covers(one.address, other.address) || covers(other.address, one.address)
  )
}

function covers(wide: string, address: string): boolean {
  if (wide === '::') return !address.startsWith('/')
  if (wide === '0.0.0.0') return address === othersThanLoopback || isIP(address) === 4 || address === '::'
  return wide === othersThanLoopback && isIP(address) !== 0 && !isLoopback(address)
}

/** From each forward to those that its targets reach. */
function circlesIn(forwards: readonly ForwardConfiguration[], machine: OwnMachine): Problem[] {
  // Of thousands few can be meant: those of the port, and those on sockets.
  const ofPorts = new Map<number, number[]>()
  for (const [index, { options }] of forwards.entries())
    ofPorts.set(options.listenPort, [...(ofPorts.get(options.listenPort) ?? []), index])
  const onSockets = [...forwards.keys()].filter((index) => forwards[index]?.options.listenUnix.length)
  const next = forwards.map(({ options }) => {
    const ofTargets = targetsOf(options).flatMap(({ host, port }) =>
      unixPath(host) === undefined ? (ofPorts.get(port) ?? []) : onSockets,
    )
    return [...new Set(ofTargets)]
      .sort((a, b) => a - b)
      .filter((index) => {
        const other = forwards[index]
        return other !== undefined && leadsTo(options, other.options, machine)
      })
  })
  const problems: Problem[] = []
  const done = new Set<number>()
  for (const start of forwards.keys()) {
    const circle = done.has(start) ? undefined : circleThrough(start, (one) => next[one] ?? [])
    if (circle === undefined) continue
    for (const one of circle) done.add(one)
    const way = [...circle, start].map((one) => `${forwards[one]?.name} (forwards[${one}])`).join(' -> ')
    const text = `forwards[${start}].target: this leads in a circle: ${way}; one connection would become thousands`
    problems.push({ place: ['forwards', start, 'target'], text })
  }
  return problems
}

function leadsTo(from: ForwardOptions, to: ForwardOptions, machine: OwnMachine): boolean {
  const listeners = tcpListenersOf(to, 0)
  return targetsOf(from).some(({ host, port }) => {
    const socket = unixPath(host)
    if (socket !== undefined)
      return to.listenUnix.some((file) => path.normalize(file) === path.normalize(socket))
    if (port !== to.listenPort) return false
    return ownAddressesOf(host, machine).some((address) =>
      listeners.some((one) => reaches(address, one.address)),
    )
  })
}

/** The addresses of this machine that a target's host may stand for; none for another machine's. */
function ownAddressesOf(host: string, { addresses, hostname }: OwnMachine): readonly string[] {
  if (isLocalhost(host)) return ['127.0.0.1', '::1']
  const name = withoutDot(host)
  if (isIP(host) === 0) {
    const own = withoutDot(hostname)
    return own !== '' && (name === own || name === `${own}.local`) ? addresses.map(plainAddress) : []
  }
  const plain = plainAddress(host)
  // A connect to 0.0.0.0 or :: reaches loopback.
  if (isWildcard(plain)) return [plain === '::' ? '::1' : '127.0.0.1']
  return isLoopback(plain) || addresses.map(plainAddress).includes(plain) ? [plain] : []
}

function reaches(address: string, listener: string): boolean {
  if (listener === othersThanLoopback) return !isLoopback(address)
  return listener === address || (listener === '0.0.0.0' ? isIP(address) === 4 : listener === '::')
}

function isTargetOfAny(options: ForwardOptions, served: Endpoint): boolean {
  return targetsOf(options).some((target) => isTargetOf(target, served))
}

function isTargetOf({ host, port }: HostAndPort, served: Endpoint): boolean {
  if (port !== served.port || unixPath(host) !== undefined) return false
  const addresses = isLocalhost(host) ? ['127.0.0.1', '::1'] : [plainAddress(host)]
  return addresses.some((address) => address === served.address || covers(served.address, address))
}

function isSamePort(options: ForwardOptions): boolean {
  return targetsOf(options).some(({ host, port }) => {
    return port === options.listenPort && (isLocalhost(host) || (isIP(host) !== 0 && isLoopback(host)))
  })
}

function isLocalhost(host: string): boolean {
  return withoutDot(host) === 'localhost' || withoutDot(host).endsWith('.localhost')
}

function withoutDot(host: string): string {
  return host.toLowerCase().replace(/\.$/, '')
}

/** One way to write an address: `0:0:0:0:0:0:0:1` is ::1, `::ffff:127.0.0.1` is 127.0.0.1. A zone stays. */
function plainAddress(address: string): string {
  const [head = '', zone] = unmapped(address).split('%')
  if (isIP(head) !== 6) return head
  const plain = unmapped(new SocketAddress({ address: head, family: 'ipv6' }).address)
  return zone === undefined ? plain : `${plain}%${zone}`
}
