/** Holds this process up as SIGSTOP or a paused machine does: nothing in it runs, while time passes and everybody else goes on. */
export function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
