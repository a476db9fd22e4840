/** How much the processes of one forward may use before an alert. 0 = no limit. */
export interface ResourceLimits {
  /** Memory of all its processes together, in bytes; 0 = no limit. */
  readonly memoryBytes: number
  /** CPU time of all its processes together, in per cent of one core: 200 = two whole cores; 0 = no limit. */
  readonly cpuPercent: number
  /** Files, sockets and pipes that all its processes together have open; missing or 0 = no limit. */
  readonly openFiles?: number
  /** `alert`: an alert only. `restart`: an alert, and a replacement by handover, which refuses no client. */
  readonly action: 'alert' | 'restart'
}

export const limitDefaults: ResourceLimits = { memoryBytes: 0, cpuPercent: 0, action: 'alert' }

/** False when nothing needs to be measured. */
export function hasLimits({ memoryBytes, cpuPercent, openFiles = 0 }: ResourceLimits): boolean {
  return memoryBytes > 0 || cpuPercent > 0 || openFiles > 0
}
