import { configurationSections, type Key, type Schema, type Section } from './configuration-keys.ts'
import { heading, item, paragraph, subheading, title, verbatim } from './roff.ts'

/** port-watchdog.yaml(5), from the schema that checks the file. */
export function configurationPage(schema: Schema, version: string): string {
  const sections = configurationSections(schema)
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
        'proxy-monitor reads the file again when it changes, and keeps the previous configuration when the file is not valid.',
    ),
    heading('Example'),
    verbatim([
      'forwards:',
      '  - { name: inspector, listen: 6274, target: "localhost:6274", gate: token }',
      '  - { name: web, listen: 8080, target: "localhost:3000", allow: [192.168.0.0/16] }',
    ]),
    ...sections.flatMap((section) => [...headingOf(section), ...section.keys.map(keyItem)]),
    heading('See also'),
    'proxy\\-monitor(1), port\\-watchdog(1)\n',
  ].join('')
}

const introductions: Readonly<Record<string, { heading: string; text?: string }>> = {
  '': { heading: 'General keys' },
  'forwards[]': { heading: 'Keys of a forward', text: 'Each entry of forwards has these keys.' },
  'programs[]': { heading: 'Keys of a program', text: 'Each entry of programs has these keys.' },
  restart: {
    heading: 'Keys of restart',
    text: 'restart stands in a forward or a program, or at the top level for all of them.',
  },
  limits: {
    heading: 'Keys of limits',
    text: 'limits stands in a forward or a program, or at the top level for all of them.',
  },
  connectors: {
    heading: 'Keys of a connector',
    text: 'connectors holds MCP servers by name, and each has these keys.',
  },
  gateway: { heading: 'Keys of gateway' },
  'gateway.http': { heading: 'Keys of http, of the gateway', text: 'It has the keys of http, and this one.' },
  'gateway.alerts': {
    heading: 'Keys of alerts, of the gateway',
    text: 'Each is a rule, or false.',
  },
  'gateway.access': { heading: 'Keys of access, of the gateway' },
  'gateway.store': { heading: 'Keys of store, of the gateway' },
  alerts: { heading: 'Keys of alerts' },
}

function headingOf({ place, group }: Section): string[] {
  const introduction = introductions[place]
  if (introduction === undefined || group !== undefined) {
    return [
      subheading(
        group !== undefined && introduction !== undefined ? group : [place, group].filter(Boolean).join(', '),
      ),
    ]
  }
  const text = introduction.text === undefined ? [] : [paragraph(introduction.text)]
  return [heading(introduction.heading), ...text]
}

function keyItem({ key, meaning, byDefault, example }: Key): string {
  const told = byDefault === '' ? meaning : `${meaning} (default: ${byDefault})`
  return item(`${key}: ${example}`, told)
}
