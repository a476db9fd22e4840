import { config } from 'zod'

/**
 * The parts of zod that the programs use. Import it as `import * as z`: scripts/bundle then leaves out the parts that no file uses, such as the
 * messages in fifty languages, which took as long to load as the rest of zod.
 */
export * from 'zod'

// Compiling a function for each object pays where thousands are parsed; a start parses one configuration.
config({ jitless: true })
