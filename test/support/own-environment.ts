import { afterAll } from 'vitest'

// Set up for every file: what its tests did to the environment is undone for the file that the same worker runs next.

const before = { ...process.env }

afterAll(() => {
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name]
  Object.assign(process.env, before)
})
