import { descriptorLimit } from '../../os/descriptor-limit.ts'
import { type Check, type Finding, failed, ok, warning } from '../check.ts'

/** What a forwarder needs besides its connections. */
const reserved = 64

/** Connections below which a browser with a few tabs is enough to use them up. */
const few = 500

/** @param limit file descriptors that a process may have open. */
export function judgeDescriptors(limit: number): Finding {
  const connections = Math.max(0, Math.floor((limit - reserved) / 2))
  const what = `each forward can have about ${connections} connections open (ulimit -n is ${limit}; a connection takes two)`
  const cure = 'ulimit -n 65536 before the start, or LimitNOFILE=65536 in the systemd unit'
  if (connections < 16) return failed('descriptors-too-few', what, cure)
  if (connections < few) return warning('descriptors-few', what, cure)
  return ok('descriptors', limit === Number.MAX_SAFE_INTEGER ? 'file descriptors are not limited' : what)
}

export const descriptors: Check = { name: 'descriptors', run: () => [judgeDescriptors(descriptorLimit())] }
