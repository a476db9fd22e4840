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
  restart: '## `restart`\n\n`restart` stands in a forward, or at the top level for all forwards.',
  limits: '## `limits`\n\n`limits` stands in a forward, or at the top level for all forwards. Linux only.',
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
