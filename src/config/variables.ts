import { homedir } from 'node:os'

/** A variable that a text refers to is not set. */
export class MissingVariable extends Error {
  /** What stands there: `${env:TOKEN}`. */
  readonly reference: string

  constructor(reference: string, variable: string) {
    super(`${reference} stands for the environment variable ${variable}, which is not set`)
    this.reference = reference
  }
}

const reference = /\$\{(?:(env|input):)?([A-Za-z_][\w.-]*)(?::-([^}]*))?\}/g

/**
 * Replaces the references that MCP clients know: `${env:NAME}`, `${NAME}`, `${NAME:-default}`, `${userHome}`, `${workspaceFolder}`, and
 * `${input:id}`, for which a client would ask its user: here the variable MCP_INPUT_ID holds the answer.
 * @param folder what `${workspaceFolder}` stands for.
 * @throws MissingVariable
 */
export function withVariables(text: string, environment: NodeJS.ProcessEnv, folder: string): string {
  return text.replaceAll(reference, (whole, kind: string | undefined, name: string, fallback?: string) => {
    if (kind === undefined && name === 'userHome') return homedir()
    if (kind === undefined && name === 'workspaceFolder') return folder
    const variable = variableOf(kind, name)
    const value = environment[variable]
    if (value !== undefined && (value !== '' || fallback === undefined)) return value
    if (fallback !== undefined) return fallback
    throw new MissingVariable(whole, variable)
  })
}

/** The environment variables that a text refers to. */
export function variablesIn(text: string): readonly string[] {
  return [...text.matchAll(reference)].map(([, kind, name = '']) => variableOf(kind, name))
}

function variableOf(kind: string | undefined, name: string): string {
  return kind === 'input' ? `MCP_INPUT_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}` : name
}
