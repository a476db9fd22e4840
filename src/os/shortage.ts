/** What this machine, or what it allows this user, may run out of. */
export type ShortageKind = 'descriptors' | 'processes' | 'memory' | 'disk' | 'program'

/** Something that this machine lacks: no fault of a forward or its target, and over as soon as the cause is. */
export interface Shortage {
  readonly kind: ShortageKind
  /** What is short and what to do about it. */
  readonly words: string
}

/** A look that could not be taken for want of something. */
export class ShortageError extends Error {
  override readonly name = 'ShortageError'
  readonly shortage: Shortage

  constructor(shortage: Shortage) {
    super(shortage.words)
    this.shortage = shortage
  }
}

export const noDescriptors: Shortage = {
  kind: 'descriptors',
  words: 'this process is out of file descriptors; raise its limit (ulimit -n)',
}

const shortages: Readonly<Record<string, Shortage>> = {
  EMFILE: noDescriptors,
  ENFILE: { kind: 'descriptors', words: 'this machine is out of file descriptors; raise fs.file-max' },
  ENOMEM: { kind: 'memory', words: 'this machine is out of memory' },
  ENOBUFS: { kind: 'memory', words: 'this machine is out of memory for sockets' },
  ENOSPC: {
    kind: 'disk',
    words: 'the disk of the state directory is full, or has no inode left (df, df -i)',
  },
  EDQUOT: { kind: 'disk', words: 'the disk quota of this user is used up (quota)' },
  EROFS: { kind: 'disk', words: 'the disk of the state directory is mounted read-only' },
  EIO: { kind: 'disk', words: 'the disk of the state directory cannot be read or written (EIO)' },
}

const shortagesAtStart: Readonly<Record<string, Shortage>> = {
  ...shortages,
  EAGAIN: { kind: 'processes', words: 'this user may start no more processes (ulimit -u, pids.max)' },
  ENOENT: { kind: 'program', words: 'the program is missing; is it being upgraded?' },
  ENOEXEC: { kind: 'program', words: 'the program is incomplete; is it being upgraded?' },
  ETXTBSY: { kind: 'program', words: 'the program is being written; is it being upgraded?' },
}

/** The shortage that a system error tells of; undefined when it tells of none. @param code such as `EMFILE`. */
export function shortageOf(code: string | undefined): Shortage | undefined {
  return code === undefined ? undefined : shortages[code]
}

/** The same for a process that could not be started, where more errors mean one. */
export function shortageAtStart(code: string | undefined): Shortage | undefined {
  return code === undefined ? undefined : shortagesAtStart[code]
}
