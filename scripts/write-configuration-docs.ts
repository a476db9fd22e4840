import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Schema } from './manual/configuration-keys.ts'
import { withTables } from './manual/configuration-markdown.ts'

// Run by `npm run schema` after a change of the configuration: writes the tables of keys into docs/configuration.md. A test checks them.
const checkout = fileURLToPath(new URL('../..', import.meta.url))
const schema = JSON.parse(
  readFileSync(path.join(checkout, 'schema', 'port-watchdog.schema.json'), 'utf8'),
) as Schema
const page = path.join(checkout, 'docs', 'configuration.md')
writeFileSync(page, withTables(readFileSync(page, 'utf8'), schema))
