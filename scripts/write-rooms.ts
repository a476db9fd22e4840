import { writeFileSync } from 'node:fs'
import { biomeRules } from './rooms.ts'

// Run by `npm run rooms` after a change of the table; a test holds the file against it. A line a room: it is made to be read by Biome.
const { overrides, ...rest } = biomeRules()
const lines = overrides.map((override) => JSON.stringify(override))
writeFileSync('rooms.json', `${JSON.stringify(rest).slice(0, -1)},"overrides":[\n${lines.join(',\n')}\n]}\n`)
