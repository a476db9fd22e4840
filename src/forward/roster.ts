/** Who can stand in one roster at a time. Its fields belong to the roster. */
export interface Listed<Self> {
  listedBefore: Self | undefined
  listedAfter: Self | undefined
}

/**
 * Who is here, in the order of arrival, for what comes and goes with every connection. A Set would do the same, but it makes a new table
 * after as many removals as it has places, and V8 lets each table name its successor: one dead table among the old objects keeps alive
 * all later ones, with the connections that were open then, until the next full collection (seen: 900 bytes of each ended connection).
 * A member that leaves here names nobody any more.
 */
export class Roster<Member extends Listed<Member>> {
  #size = 0
  #first: Member | undefined
  #last: Member | undefined

  get size(): number {
    return this.#size
  }

  add(member: Member): void {
    if (this.has(member)) return
    member.listedBefore = this.#last
    if (this.#last === undefined) this.#first = member
    else this.#last.listedAfter = member
    this.#last = member
    this.#size++
  }

  /** Removes a member; who is not in it stays what it is. */
  delete(member: Member): void {
    if (!this.has(member)) return
    const { listedBefore, listedAfter } = member
    if (listedBefore === undefined) this.#first = listedAfter
    else listedBefore.listedAfter = listedAfter
    if (listedAfter === undefined) this.#last = listedBefore
    else listedAfter.listedBefore = listedBefore
    member.listedBefore = undefined
    member.listedAfter = undefined
    this.#size--
  }

  has(member: Member): boolean {
    return member.listedBefore !== undefined || this.#first === member
  }

  /** The oldest first. Members may leave while it is walked through, and are left out then. */
  *[Symbol.iterator](): Generator<Member, void> {
    const members: Member[] = []
    for (let one = this.#first; one !== undefined; one = one.listedAfter) members.push(one)
    for (const member of members) if (this.has(member)) yield member
  }
}
