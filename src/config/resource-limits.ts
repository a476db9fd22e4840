/** What the processes of one forward may use before somebody is told. 0 = no limit. */
export interface ResourceLimits {
  /** Memory of all its processes together, in bytes; 0 = no limit. */
  readonly memoryBytes: number
  /** CPU time of all its processes together, in per cent of one core: 200 = two whole cores; 0 = no limit. */
  readonly cpuPercent: number
  /** `alert`: it is told and goes on. `restart`: it is told, and replaced by handover, which refuses nobody. */
  readonly action: 'alert' | 'restart'
}

export const limitDefaults: ResourceLimits = { memoryBytes: 0, cpuPercent: 0, action: 'alert' }

/** False when nothing needs to be measured. */
export function hasLimits({ memoryBytes, cpuPercent }: ResourceLimits): boolean {
  return memoryBytes > 0 || cpuPercent > 0
}
