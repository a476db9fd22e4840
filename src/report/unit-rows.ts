import type { ForwardStatus, ProgramStatus, StatusReport } from '../record/shapes/status-report.ts'
import { severity } from './status.ts'

/** What the table shows of a unit of any kind. */
export interface UnitRow
  extends Pick<
    ForwardStatus,
    | 'name'
    | 'state'
    | 'reason'
    | 'failingForMs'
    | 'advice'
    | 'monitored'
    | 'openAt'
    | 'target'
    | 'connections'
    | 'bytesPerSecond'
    | 'lastDay'
    | 'restarts'
    | 'lastRestartAgeMs'
    | 'uptimeMs'
    | 'pid'
    | 'nextTryInMs'
    | 'orderedDownAt'
  > {
  readonly kind: 'forward' | 'program' | 'gateway'
  /** The port of a forward, or that makes a program ready; null = it has none. */
  readonly port: number | null
}

/** Every unit of a report as the table shows it: the worst first, forwards before programs. */
export function unitRows({
  forwards,
  programs,
}: Pick<StatusReport, 'forwards' | 'programs'>): readonly UnitRow[] {
  const rows = [...forwards.map(rowOfForward), ...programs.map(rowOfProgram)]
  return rows.sort((a, b) => severity(b.state) - severity(a.state))
}

const rowOfForward = (forward: ForwardStatus): UnitRow => ({ ...forward, kind: 'forward' })

const rowOfProgram = (program: ProgramStatus): UnitRow => ({
  ...program,
  kind: program.kind ?? 'program',
  openAt: [],
  target: program.command,
  connections: null,
  bytesPerSecond: null,
})

/** Whether an incident is about the unit of this row. */
export function isAbout(
  { forward, port }: { readonly forward: string; readonly port: number },
  row: Pick<UnitRow, 'kind' | 'name' | 'port'>,
): boolean {
  return row.kind === 'forward' ? port === row.port : port === 0 && forward === row.name
}
