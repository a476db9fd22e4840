import { configurationSections, type Key, type Schema, type Section } from './configuration-keys.ts'

const begin = '<!-- Written by `npm run schema` from src/config: do not edit below. -->'

/** docs/configuration.md with its tables of keys, from the schema that checks the file and the table of options. */
export function withTables(page: string, schema: Schema): string {
  const [own] = page.split(begin)
  return `${own}${begin}\n\n${configurationSections(schema).map(table).join('\n\n')}\n`
}

const headings: Readonly<Record<string, string>> = {
  '': '## The top level of the file',
  'forwards[]':
    '## Keys of a forward\n\nEach entry of `forwards` has these keys. `name`, `listen` and `target` are required.',
  'programs[]':
    '## Keys of a program\n\nEach entry of `programs` has these keys. `name` and either `command` or `template` are required. See [programs.md](programs.md) and [adding-programs.md](adding-programs.md).',
  'programs[].ready': '### `ready` of a program\n\nOne of `port`, `http`, `command` and `log` is required.',
  'programs[].health': '### `health` of a program\n\nOne of `port`, `http` and `command` is required.',
  'programs[].stop': '### `stop` of a program',
  restart:
    '## `restart`\n\n`restart` stands in a forward or a program, or at the top level for all of them. A program has `readyWithin` and `stop` in the place of `startTimeout` and `killAfter`.',
  limits:
    '## `limits`\n\n`limits` stands in a forward or a program, or at the top level for all of them. Linux only.',
  output:
    '## `output`\n\n`output` stands in a program, or at the top level for all of them. See [programs.md](programs.md#what-it-prints).',
  http: '## `http`\n\nSee [http-api.md](http-api.md). `listen` is required; beyond loopback also TLS, or `insecure`.',
  connectors:
    '## Keys of a connector\n\n`connectors` holds MCP servers by name, and each has these keys. Either `command` or `url` is required. See [gateway.md](gateway.md).',
  gateway: '## `gateway`\n\nSee [gateway.md](gateway.md).',
  'gateway.http': '### `http` of the gateway\n\nIt has the keys of [`http`](#http), and this one:',
  'gateway.alerts':
    '### `alerts` of the gateway\n\nEach is a rule, or `false`. See [alerts.md](alerts.md#the-mcp-gateway).',
  'gateway.access': '## `access` of the gateway\n\nSee [gateway.md](gateway.md).',
  'gateway.store': '## `store` of the gateway\n\nSee [gateway.md](gateway.md#several-gateways).',
  configChange:
    '## `configChange`\n\nWithout it nobody can change the configuration by an order. With it, restart policy, limits, patterns and `autostart` of every program may be changed, and what these keys list. See [agents.md](agents.md#changes-of-the-configuration).',
  alerts: '## `alerts`\n\nSee [alerts.md](alerts.md).',
  'alerts.channels[]': '### `alerts.channels`: each entry',
  'alerts.ping': '### `alerts.ping`',
}

function table({ place, group, keys }: Section): string {
  const heading =
    group === undefined ? (headings[place] ?? `### \`${place}\``) : `### ${groupHeading(place, group)}`
  const rows = keys.map(({ key, meaning, byDefault, example }: Key) =>
    [
      `\`${key}\``,
      cell(meaning),
      byDefault === '' ? '' : cell(byDefault),
      `\`${key}: ${cell(example)}\``,
    ].join(' | '),
  )
  return [
    heading,
    '',
    '| key | meaning | default | example |',
    '| --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row} |`),
  ].join('\n')
}

function groupHeading(place: string, group: string): string {
  return place === 'forwards[]' ? group : `A channel with \`${group}\``
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}
