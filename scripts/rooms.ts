/**
 * The rooms of src/ and what each may import, as one table. `npm run rooms` makes Biome's rules of it (rooms.json), so that editors and
 * scripts/test refuse what it does not allow.
 *
 * A new room is a line of `rooms`, at its height, and of ARCHITECTURE.md. Its main file, as that of every folder within, begins with
 * `NAME/: ` and what it is for, how something goes through it and where to add the next one. A package that is for some rooms alone is a line
 * of `packages`.
 */

/** From above to below: imports run downwards only. */
export const rooms = [
  'cli',
  'page',
  'monitor',
  'server',
  'orders',
  'doctor',
  'gateway',
  'program',
  'forward',
  'watch',
  'report',
  'alert',
  'web',
  'control',
  'record',
  'log',
  'config',
  'process',
  'os',
] as const

type Room = (typeof rooms)[number]

/** Kinds of units: they never import each other. */
export const unitRooms: readonly Room[] = ['gateway', 'program', 'forward']

/** Rooms that stand below a room and are closed to it all the same: the gateway's process reports to nobody but its files. */
const closedBesides: Partial<Readonly<Record<Room, readonly Room[]>>> = {
  gateway: ['report', 'alert'],
}

/** Which rooms may import a package. Those that are not named here are for every room. */
export const packages: Readonly<Record<string, readonly Room[]>> = {
  '@modelcontextprotocol/server': ['server'],
  commander: ['cli'],
  'find-process': ['os'],
  hono: ['server'],
  jose: ['gateway'],
  '@hono/node-server': ['server'],
  '@lydell/node-pty': ['process'],
  oauth4webapi: ['gateway'],
  'oidc-provider': ['gateway'],
  picomatch: ['program', 'config'],
  pg: ['gateway'],
  pino: ['log'],
  'jsonc-parser': ['config'],
  'prom-client': ['server', 'gateway', 'forward'],
  'ps-list': ['os'],
  'smol-toml': ['config'],
  'string-width': ['report'],
  yaml: ['program', 'config'],
  zod: ['server', 'orders', 'gateway', 'record', 'config'],
}

/** Rooms that a room may not import. */
export function closedTo(room: Room): readonly Room[] {
  const at = rooms.indexOf(room)
  const besides = closedBesides[room] ?? []
  return rooms.filter(
    (other, index) =>
      index < at || (unitRooms.includes(room) && isSibling(room, other)) || besides.includes(other),
  )
}

function isSibling(room: Room, other: Room): boolean {
  return other !== room && unitRooms.includes(other)
}

/** The rules as a configuration of Biome, which biome.json extends. */
export function biomeRules() {
  return {
    // An import of a type alone is a dependence, too.
    linter: {
      rules: { suspicious: { noImportCycles: { level: 'error', options: { ignoreTypes: false } } } },
    },
    overrides: rooms.map((room) => ({
      includes: [`src/${room}/**`],
      linter: { rules: { style: { noRestrictedImports: { level: 'error', options: refusedIn(room) } } } },
    })),
  }
}

function refusedIn(room: Room) {
  const ofRooms = {
    // A folder of its own may be called like a room.
    group: [...[...closedTo(room), 'test', 'scripts'].map((other) => `**/${other}/**`), '!./**'],
    message: `Imports run downwards, and ${room} is not above it: see ARCHITECTURE.md.`,
  }
  const ofPackages = Object.entries(packages)
    .filter(([, by]) => !by.includes(room))
    .map(([name, by]) => ({
      group: [name, `${name}/**`],
      message: `${name} is for ${by.join(', ')} alone: see scripts/rooms.ts.`,
    }))
  return { patterns: [ofRooms, ...ofPackages] }
}
