import type { Diagnosis } from '../doctor/examine.ts'
import { renderDiagnosis } from '../doctor/render.ts'
import { wantsColour } from '../report/terminal.ts'

/** Columns of a diagnosis that is not printed on a terminal, or on one of unknown width. */
const widthWithoutTerminal = 120

/** Prints what a doctor has found. @returns the exit code. */
export function printDiagnosis(diagnosis: Diagnosis, json: boolean): number {
  const style = {
    colour: wantsColour(process.stdout, process.env),
    width: process.stdout.columns || widthWithoutTerminal,
  }
  process.stdout.write(json ? `${JSON.stringify(diagnosis, null, 2)}\n` : renderDiagnosis(diagnosis, style))
  return diagnosis.exitCode
}
