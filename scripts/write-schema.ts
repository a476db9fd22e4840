import { writeFileSync } from 'node:fs'
import { configurationJsonSchema } from '../src/config/schema.ts'

// Run by `npm run schema` after a change of the configuration; a test holds the file against the code.
writeFileSync('schema/port-watchdog.schema.json', `${JSON.stringify(configurationJsonSchema(), null, 2)}\n`)
