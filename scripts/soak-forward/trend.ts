// Does a series of samples grow? Samples are noisy, so neither the last nor the highest of them can tell.

export interface Trend {
  /** Median of the first and of the last third. */
  readonly before: number
  readonly after: number
  /** By which the median slope rises over all samples. */
  readonly growth: number
  /** How sure it is that they rise or fall, in standard deviations (Mann-Kendall); above 0 = rising. */
  readonly certainty: number
}

/** The Theil-Sen slope and the Mann-Kendall test: neither cares for outliers or for how the noise is distributed. */
export function trendOf(samples: readonly number[]): Trend {
  const count = samples.length
  const slopes: number[] = []
  let rises = 0
  samples.forEach((later, at) => {
    for (let earlier = 0; earlier < at; earlier++) {
      const rise = later - (samples[earlier] ?? later)
      slopes.push(rise / (at - earlier))
      rises += Math.sign(rise)
    }
  })
  const deviation = Math.sqrt((count * (count - 1) * (2 * count + 5)) / 18)
  const third = Math.max(1, Math.floor(count / 3))
  return {
    before: median(samples.slice(0, third)),
    after: median(samples.slice(-third)),
    growth: median(slopes) * (count - 1),
    certainty: deviation > 0 ? rises / deviation : 0,
  }
}

/** Growth is real when chance would hardly make it and it is more than a bound that nobody would mind. */
export function grows({ growth, certainty }: Trend, bound: number): boolean {
  return certainty > 3 && growth > bound
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}
