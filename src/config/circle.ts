/**
 * The shortest way from a node back to itself; undefined when there is none.
 * @param next the nodes that a node leads to.
 */
export function circleThrough<Node>(
  start: Node,
  next: (node: Node) => readonly Node[],
): readonly Node[] | undefined {
  const before = new Map<Node, Node>()
  const reached = [start]
  // It grows meanwhile.
  for (const node of reached) {
    for (const one of next(node)) {
      if (one === start) return wayTo(node, start, before)
      if (before.has(one)) continue
      before.set(one, node)
      reached.push(one)
    }
  }
  return undefined
}

function wayTo<Node>(end: Node, start: Node, before: ReadonlyMap<Node, Node>): readonly Node[] {
  const way = [end]
  for (let one = end; one !== start; ) {
    one = before.get(one) ?? start
    way.push(one)
  }
  return way.reverse()
}
