import { type Check, type Finding, failed, note, ok } from '../check.ts'

/** The least that runs this package (`engines` of package.json). */
const least = { major: 20, minor: 19 }

/** The least that still gets security fixes. */
const maintained = 22

export function judgeNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < least.major || (major === least.major && minor < least.minor)) {
    return failed(
      'node-too-old',
      `Node ${version} is too old`,
      `install Node ${least.major}.${least.minor} or newer`,
    )
  }
  if (major < maintained) {
    return note(
      'node-unmaintained',
      `Node ${version} no longer gets security fixes`,
      'install Node 22 or newer',
    )
  }
  return ok('node', `Node ${version}`)
}

export const node: Check = { name: 'node', run: () => [judgeNode(process.versions.node)] }
