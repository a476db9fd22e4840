import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { umbrella } from '../src/cli/umbrella.ts'
import { words } from '../src/cli/words.ts'
import { version } from '../src/os/version.ts'
import { commandPage } from './manual/command-page.ts'
import type { Schema } from './manual/configuration-keys.ts'
import { configurationPage } from './manual/configuration-page.ts'

// Writes the manual pages into dist/man, from the tables that help and configuration are made of.
const checkout = fileURLToPath(new URL('../..', import.meta.url))
const folder = path.join(checkout, 'dist', 'man')
mkdirSync(folder, { recursive: true })

const programs = words.flatMap(({ program, command }) =>
  program && command ? [{ name: program, command }] : [],
)
const all = ['port-watchdog(1)', ...programs.map(({ name }) => `${name}(1)`), 'port-watchdog.yaml(5)']
const pages = [
  { name: 'port-watchdog', command: umbrella() },
  ...(await Promise.all(programs.map(async ({ name, command }) => ({ name, command: await command() })))),
]
for (const { name, command } of pages) {
  const seeAlso = all.filter((page) => page !== `${name}(1)`)
  writeFileSync(path.join(folder, `${name}.1`), commandPage({ command, name, version, seeAlso }))
}
const schema = JSON.parse(
  readFileSync(path.join(checkout, 'schema', 'port-watchdog.schema.json'), 'utf8'),
) as Schema
writeFileSync(path.join(folder, 'port-watchdog.yaml.5'), configurationPage(schema, version))
