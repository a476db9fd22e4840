// The figures: what stands behind the forwarder, how it is loaded, what is read off.
import { beside } from './figures/beside.ts'
import { bulk } from './figures/bulk.ts'
import { connections } from './figures/connections.ts'
import type { Figure, Lengths } from './figures/figure.ts'
import { gate } from './figures/gate.ts'
import { idle } from './figures/idle.ts'
import { requests } from './figures/requests.ts'
import { slowReader } from './figures/slow.ts'

export function figures(lengths: Lengths): Figure[] {
  return [
    bulk(lengths),
    requests(lengths),
    beside(lengths),
    slowReader(lengths),
    idle(lengths),
    connections(lengths),
    gate(lengths),
  ]
}
