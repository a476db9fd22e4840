import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { withOrders } from './manual/http-api-markdown.ts'

// Run by `npm run schema` after a change of an order: writes the reference of orders into docs/http-api.md. A test checks it.
const page = path.join(fileURLToPath(new URL('../..', import.meta.url)), 'docs', 'http-api.md')
writeFileSync(page, withOrders(readFileSync(page, 'utf8')))
