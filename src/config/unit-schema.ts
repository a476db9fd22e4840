import type { z as Zod } from 'zod'
import { limitDefaults, type ResourceLimits } from './resource-limits.ts'
import { type RestartPolicy, restartDefaults } from './restart-policy.ts'
import { count, cpuShare, duration, memory } from './schema-parts.ts'
import * as z from './zod.ts'

/** How a unit is restarted, as a file says it. */
export const restart = z.strictObject({
  failureThreshold: count.min(1).optional().describe('failures in a row after which an alert is raised'),
  backoff: duration
    .optional()
    .describe('wait before the second restart in a row, doubled for each further one'),
  backoffLimit: duration.optional().describe('longest wait between two restarts'),
  resetAfter: duration
    .optional()
    .describe('healthy time after which the waits begin again at once; 0 = at each healthy check'),
  flappingRestarts: count
    .optional()
    .describe('restarts within flappingWindow that pause restarts; 0 = never'),
  flappingWindow: duration.optional().describe('time in which flappingRestarts are counted'),
  flappingPause: duration.optional().describe('how long restarts pause once a unit is flapping'),
  startTimeout: duration
    .refine((ms) => ms > 0, 'a start takes time; give it more than 0')
    .optional()
    .describe('time allowed for a forwarder to start'),
  killAfter: duration.optional().describe('time from SIGTERM to SIGKILL for a forwarder that hangs'),
})

/** What a unit may use, as a file says it. */
export const limits = z.strictObject({
  memory: memory
    .optional()
    .describe('alert when all processes of a unit together use more memory, such as 256M; 0 = no limit'),
  cpu: cpuShare
    .optional()
    .describe('alert when they use more CPU time, such as 50% of one core or 200% for two; 0 = no limit'),
  openFiles: count
    .optional()
    .describe(
      'alert when they have so many files, sockets and pipes open, such as 1000; no process of a program can open more (RLIMIT_NOFILE, by prlimit of util-linux); 0 = no limit',
    ),
  action: z
    .enum(['alert', 'restart'])
    .optional()
    .describe(
      'what to do above a limit: alert, or restart, which alerts and restarts (a forward by handover)',
    ),
})

export type RestartEntry = Zod.output<typeof restart>
export type LimitsEntry = Zod.output<typeof limits>

/** What stands in the file, and the defaults for the rest. */
export function resourceLimits({ memory, cpu, openFiles, action }: LimitsEntry): ResourceLimits {
  return {
    memoryBytes: memory ?? limitDefaults.memoryBytes,
    cpuPercent: cpu ?? limitDefaults.cpuPercent,
    ...(openFiles === undefined ? {} : { openFiles }),
    action: action ?? limitDefaults.action,
  }
}

/** @param defaults for what the file does not say. */
export function restartPolicy(entry: RestartEntry, defaults: RestartPolicy = restartDefaults): RestartPolicy {
  return {
    failureThreshold: entry.failureThreshold ?? defaults.failureThreshold,
    backoffMs: entry.backoff ?? defaults.backoffMs,
    backoffLimitMs: entry.backoffLimit ?? defaults.backoffLimitMs,
    resetAfterMs: entry.resetAfter ?? defaults.resetAfterMs,
    flappingRestarts: entry.flappingRestarts ?? defaults.flappingRestarts,
    flappingWindowMs: entry.flappingWindow ?? defaults.flappingWindowMs,
    flappingPauseMs: entry.flappingPause ?? defaults.flappingPauseMs,
    startTimeoutMs: entry.startTimeout ?? defaults.startTimeoutMs,
    killAfterMs: entry.killAfter ?? defaults.killAfterMs,
  }
}
