/** How wide the columns of a table of `proxy-ctl` are, so that the last one is not cut off by the edge of the terminal. */

export interface TableLayout {
  readonly widths: readonly number[]
  /** Between two columns. */
  readonly gap: number
}

/** The least that is left of a column that may be cut. */
const leastCut = 12

/**
 * As wide as their cells, with two blanks between them; where that is too much, with one, and then the column that may be cut is.
 * @param cut the place of that column; undefined = none may.
 */
export function tableLayout(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  width: number,
  cut?: number,
): TableLayout {
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const needed = (gap: number) => widths.reduce((sum, one) => sum + one, gap * (widths.length - 1))
  const gap = needed(2) <= width ? 2 : 1
  const excess = needed(gap) - width
  if (cut === undefined || excess <= 0) return { widths, gap }
  return { widths: widths.map((one, i) => (i === cut ? Math.max(leastCut, one - excess) : one)), gap }
}

/** @param width of its column. */
export function fitted(cell: string, width: number): string {
  return cell.length <= width ? cell : `${cell.slice(0, width - 1)}…`
}
