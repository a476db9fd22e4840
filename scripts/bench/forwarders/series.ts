// One line of the table: what is measured, which way is better, and what is asked of ours.

export type Goal =
  /** Against the best peer of each class, as ours divided by theirs. */
  | { readonly kind: 'best'; readonly defaults: number; readonly tuned: number }
  /** Against one peer at its defaults. */
  | { readonly kind: 'peer'; readonly name: string; readonly ratio: number }
  /** A plain bound on ours. */
  | { readonly kind: 'bound'; readonly value: number }

export interface Series {
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly better: 'more' | 'less'
  /** Over several connections at once. Who has a process for each is then no single process, and no peer. */
  readonly several?: boolean
  readonly goal: Goal
}

/** What one run gave: a value for each series it measures. */
export type Sample = Readonly<Record<string, number>>
