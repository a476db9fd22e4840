import type { z as Zod } from 'zod'
import { type ActionConfiguration, programDefaults } from './program-configuration.ts'
import { duration } from './schema-parts.ts'
import * as z from './zod.ts'

const name = /^[A-Za-z_]\w{0,39}$/

const argument = z
  .strictObject({
    type: z
      .enum(['text', 'path', 'integer', 'choice', 'flag'])
      .describe('what may be given; a path must lie in the folder of the program'),
    summary: z.string().optional().describe('what it is for, for people and agents'),
    required: z.boolean().optional().describe('default: false'),
    default: z
      .union([z.string(), z.number(), z.boolean()])
      .optional()
      .describe('what holds when nothing is given'),
    choices: z.array(z.string()).min(1).optional().describe('with type choice: what may be given'),
    min: z.number().int().optional().describe('with type integer: the least'),
    max: z.number().int().optional().describe('with type integer: the most'),
    word: z.string().min(1).optional().describe('with type flag: the word for true; default: --NAME'),
  })
  .refine(
    ({ type, choices }) => (type === 'choice') === (choices !== undefined),
    'choices go with type choice, and only with it',
  )

export const action = z
  .strictObject({
    summary: z.string().optional().describe('what it does, for people and agents who choose'),
    command: z
      .array(z.union([z.string(), z.number()]).transform(String))
      .min(1)
      .describe('the command as a list; {NAME} stands for an argument; no shell reads it'),
    arguments: z
      .record(z.string().regex(name, 'an argument is named by letters, digits and "_"'), argument)
      .optional()
      .describe('what may be given, by name'),
    timeout: duration
      .refine((ms) => ms > 0, 'an action takes time; give it more than 0')
      .optional()
      .describe('time after which it is killed; default 5m'),
  })
  .superRefine(({ command, arguments: known = {} }, context) => {
    const [program = ''] = command
    if (/\{\w+\}/.test(program) && Object.keys(known).some((one) => program.includes(`{${one}}`)))
      context.addIssue({
        code: 'custom',
        message: 'the program itself cannot be an argument',
        path: ['command', 0],
      })
    for (const one of Object.keys(known)) {
      if (!command.some((word) => word.includes(`{${one}}`)))
        context.addIssue({ code: 'custom', message: `the command has no {${one}}`, path: ['arguments', one] })
    }
  })

export function actionConfiguration(entry: Zod.output<typeof action>): ActionConfiguration {
  const known = Object.entries(entry.arguments ?? {}).map(([name, argument]) => [
    name,
    { ...argument, summary: argument.summary ?? null, required: argument.required ?? false },
  ])
  return {
    summary: entry.summary ?? null,
    command: entry.command,
    arguments: Object.fromEntries(known),
    timeoutMs: entry.timeout ?? programDefaults.actionTimeoutMs,
  }
}
