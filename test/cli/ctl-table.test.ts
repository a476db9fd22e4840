import { describe, expect, it } from 'vitest'
import { fitted, tableLayout } from '../../src/cli/ctl-table.ts'

describe('A table of proxy-ctl', () => {
  const titles = ['NAME', 'TARGET', 'RESTARTS']
  const rows = [['web', 'x'.repeat(40), '0']]
  const wide = ({ widths, gap }: ReturnType<typeof tableLayout>) =>
    widths.reduce((sum, one) => sum + one, gap * (widths.length - 1))

  it('loses no column at the edge of the terminal', () => {
    expect(tableLayout(titles, rows, 120, 1)).toEqual({ widths: [4, 40, 8], gap: 2 })
    expect(tableLayout(titles, rows, 55, 1)).toEqual({ widths: [4, 40, 8], gap: 1 })
    expect(tableLayout(titles, rows, 40, 1)).toEqual({ widths: [4, 26, 8], gap: 1 })
    for (let width = 30; width < 60; width++)
      expect(wide(tableLayout(titles, rows, width, 1))).toBeLessThanOrEqual(width)
    expect(tableLayout(titles, rows, Number.POSITIVE_INFINITY, 1).gap).toBe(2)
  })

  it('says that a cell is cut', () => {
    expect([fitted('node server.js', 8), fitted('node', 8)]).toEqual(['node se…', 'node'])
  })
})
