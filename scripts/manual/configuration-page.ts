import { optionList } from '../../src/config/forward-options.ts'
import { groupOf, optionGroups } from '../../src/config/option-groups.ts'
import { heading, item, paragraph, subheading, title, verbatim } from './roff.ts'

/** What is read of a JSON schema. */
export interface Schema {
  readonly description?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly string[]
  readonly const?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
}

/** port-watchdog.yaml(5), from the schema that checks the file. */
export function configurationPage(schema: Schema, version: string): string {
  const { forwards, restart, limits, alerts, $schema: _, ...general } = schema.properties ?? {}
  const forward = forwards?.items?.properties ?? {}
  const grouped = new Map<string, string>(optionList.map(({ name, key }) => [key, groupOf[name]]))
  const ofGroup = (group: string | undefined) =>
    Object.entries(forward).filter(
      ([key]) => grouped.get(key) === group && key !== 'restart' && key !== 'limits',
    )
  return [
    title('port-watchdog.yaml', 5, version),
    heading('Name'),
    'port\\-watchdog.yaml \\- configuration of proxy\\-monitor\n',
    heading('Synopsis'),
    verbatim([
      'proxy-monitor --config port-watchdog.yaml',
      'proxy-monitor --check --config port-watchdog.yaml',
    ]),
    heading('Description'),
    paragraph(
      'YAML or JSON. Times are written 250ms, 5s, 2m or 1h; a number alone means seconds. Where a list is wanted, a single value will do. ' +
        'proxy-monitor reads the file again when it changes, and keeps the previous configuration when it is not valid.',
    ),
    heading('Example'),
    verbatim([
      'forwards:',
      '  - { name: inspector, listen: 6274, target: "localhost:6274", gate: token }',
      '  - { name: web, listen: 8080, target: "localhost:3000", allow: [192.168.0.0/16] }',
    ]),
    heading('General keys'),
    ...list(general),
    heading('Keys of a forward'),
    paragraph('Each entry of forwards has these keys.'),
    ...list(Object.fromEntries(ofGroup(undefined))),
    ...optionGroups.flatMap((group) => {
      const own = ofGroup(group)
      return own.length === 0 ? [] : [subheading(group), ...list(Object.fromEntries(own))]
    }),
    heading('Keys of restart'),
    paragraph('restart stands in a forward, or beside forwards for all of them.'),
    ...list(restart?.properties ?? {}),
    heading('Keys of limits'),
    paragraph('limits stands in a forward, or beside forwards for all of them.'),
    ...list(limits?.properties ?? {}),
    heading('Keys of alerts'),
    ...nested(alerts?.properties ?? {}),
    heading('See also'),
    'proxy\\-monitor(1), port\\-watchdog(1)\n',
  ].join('')
}

function list(properties: Readonly<Record<string, Schema>>): string[] {
  return Object.entries(properties).map(([key, schema]) => item(key, meaning(schema)))
}

/** Keys with what stands below them. */
function nested(properties: Readonly<Record<string, Schema>>, path = ''): string[] {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const forms = schema.items?.oneOf ?? (schema.properties === undefined ? [] : [schema])
    const below = forms.flatMap((form) => {
      const kind = form.properties?.type
      const kinds = kind?.enum ?? (kind?.const === undefined ? [] : [kind.const])
      const where = kinds.length === 0 ? `${path}${key}` : `${path}${key}, type ${kinds.join(' or ')}`
      const { type: _, ...rest } = form.properties ?? {}
      return [subheading(where), ...list(kinds.length === 0 ? (form.properties ?? {}) : rest)]
    })
    return [item(`${path}${key}`, meaning(schema)), ...below]
  })
}

function meaning(schema: Schema): string {
  const values = schema.enum === undefined ? [] : [`one of ${schema.enum.join(', ')}`]
  const told = [schema.description, ...values].filter((text) => text !== undefined)
  return told.length > 0 ? told.join('; ') : kindOf(schema)
}

function kindOf({ type, items, anyOf, oneOf }: Schema): string {
  if (items !== undefined) return 'a list'
  if (anyOf !== undefined || oneOf !== undefined) return 'see below'
  return Array.isArray(type) ? type.join(' or ') : String(type ?? 'see below')
}
