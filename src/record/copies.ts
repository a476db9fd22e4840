import path from 'node:path'
import { readRuntimeState } from './runtime-state.ts'
import { fileNames } from './state-directory.ts'

/** The copies of a program that a monitor knew last, by their names; empty = it has none, or nobody knows it. */
export function copiesOf(stateDirectory: string, program: string): readonly string[] {
  const reading = readRuntimeState(path.join(stateDirectory, fileNames.runtimeState))
  if (reading.kind !== 'read') return []
  return (reading.state.programs ?? []).flatMap(({ name, group }) => (group === program ? name : []))
}
