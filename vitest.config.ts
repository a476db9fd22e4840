import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * Three projects:
 * - `pure`: data in, data out. From the sources, without a build.
 * - `real`: sockets, processes, faults. What a test imports from src/ is the compiled file, as users run it, loaded by Node itself.
 * - `root`: what needs namespaces, systemd, a browser or the MCP Inspector. As `real`.
 * A new file belongs to `real` unless a list below names it.
 */
const pure = [
  'test/alert/{delivery-parts,incident}.test.ts',
  'test/cli/ctl-table.test.ts',
  'test/config/{effective,instances,ordered-changes,mistakes,templates,values}.test.ts',
  'test/doctor/gateway-judgements.test.ts',
  'test/doctor/judgements.test.ts',
  'test/forward/{check-plan,prefixes,proxy-protocol}.test.ts',
  'test/log/{pino-log,plain-log,ring-log}.test.ts',
  'test/orders/{newest-logs,table}.test.ts',
  'test/os/{atomic-file,time-limit}.test.ts',
  'test/server/mcp/answers.test.ts',
  'test/program/output/{splitter,classes,kept-lines,scan}.test.ts',
  'test/record/{api-keys,parsers,shapes,state-directory}.test.ts',
  'test/report/{difference,history,inspector-verdict,ports-on-disk,screen-view,status,text}.test.ts',
  'test/docs/rooms.test.ts',
  'test/program/import/{formats,text}.test.ts',
  'test/server/parts.test.ts',
  'test/program/input-policy.test.ts',
  'test/web/*.test.ts',
  'test/forward/unit/*.test.ts',
  'test/gateway/{access-properties,alert-rules,connectors,handshake,json-text,known-keys,names,parameter-headers,task-shapes}.test.ts',
  'test/watch/{decide,decide-properties,decide-stray,limits,narrate,supervised-properties,transitions}.test.ts',
]
const root = [
  'test/e2e/**/*.test.ts',
  'test/systemd/**/*.test.ts',
  'test/fault/{address-new,container-restart,gateway-container,gateway-silent-peer,network-interfaces,network-wire,pid-reused,workers-interfaces}.test.ts',
  'test/fault/{other-users,shortage-of-this-machine,state-directory-read-only,target-check-harms}.test.ts',
  'test/forward/{admission,gate-pages,gate-strangers}.test.ts',
  'test/orders/strangers.test.ts',
]

/** These take the longest, in this order: begun first, so that no worker is left alone with one at the end. */
const longest = [
  'test/cli/package.test.ts',
  'test/e2e/inspector.test.ts',
  'test/gateway/conformance.test.ts',
  'test/systemd/unit.test.ts',
  'test/e2e/inspector-verdict.test.ts',
  'test/e2e/gate.test.ts',
  'test/systemd/held-ports.test.ts',
  'test/fault/network-wire.test.ts',
  'test/gateway/store.test.ts',
  'test/program/twelve-faults.test.ts',
  'test/fault/workers.test.ts',
  'test/program/program.test.ts',
  'test/gateway/children.test.ts',
  'test/fault/state-directory-forwarder.test.ts',
  'test/forward/relay-churn.test.ts',
  'test/orders/orders.test.ts',
  'test/server/monitor-api.test.ts',
  'test/server/mcp/stdio.test.ts',
  'test/gateway/handover.test.ts',
  'test/systemd/monitor-service.test.ts',
  'test/e2e/start-script.test.ts',
  'test/forward/gate-kept.test.ts',
  'test/gateway/login.test.ts',
  'test/fault/processes-left-behind.test.ts',
  'test/gateway/stdio.test.ts',
  'test/fault/container-restart.test.ts',
  'test/program/kept.test.ts',
  'test/gateway/unit.test.ts',
  'test/fault/stray-forwarder.test.ts',
  'test/program/watch.test.ts',
  'test/fault/network-interfaces.test.ts',
  'test/fault/target-check-harms.test.ts',
  'test/fault/handover-by-others.test.ts',
  'test/fault/address-new.test.ts',
  'test/forward/relay.test.ts',
  'test/program/instances.test.ts',
  'test/gateway/pins.test.ts',
  'test/gateway/commands.test.ts',
  'test/fault/suspended.test.ts',
  'test/server/mcp/http.test.ts',
  'test/gateway/restarts.test.ts',
  'test/program/detached.test.ts',
  'test/server/mcp/conformance.test.ts',
  'test/forward/gate-streams.test.ts',
  'test/forward/metrics-server.test.ts',
  'test/forward/tls.test.ts',
  'test/program/logs.test.ts',
  'test/orders/phases.test.ts',
  'test/gateway/lasting-clients.test.ts',
  'test/gateway/clients.test.ts',
  'test/report/proxy-log.test.ts',
  'test/gateway/start-load.test.ts',
  'test/fault/state-directory-monitor.test.ts',
  'test/alert/delivery.test.ts',
  'test/forward/bare-socket.test.ts',
  'test/fault/surroundings.test.ts',
  'test/report/proxy-status.test.ts',
  'test/program/depends.test.ts',
  'test/program/input.test.ts',
  'test/fault/over-limit.test.ts',
]

/**
 * What a test starts must not depend on who runs it. Node reads NODE_EXTRA_CA_CERTS before anything else, which triples the processor
 * time of each start: of some three thousand in a whole run. test/cli/package.test.ts passes it to npm.
 */
const { NODE_EXTRA_CA_CERTS: certificates } = process.env
if (certificates !== undefined) {
  process.env.CERTIFICATES_FOR_NPM = certificates
  delete process.env.NODE_EXTRA_CA_CERTS
}

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId, project }: TestSpecification) => {
      // A worker goes on with files of its project, and is ended when the next one is of another: each change starts one anew.
      const projectsBefore = project.name === 'root' ? 0 : 1
      const found = longest.indexOf(path.relative(checkout, moduleId))
      return projectsBefore * (longest.length + 1) + (found < 0 ? longest.length : found)
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

const checkout = fileURLToPath(new URL('.', import.meta.url))
const sources = fileURLToPath(new URL('src/', import.meta.url))
const built = fileURLToPath(new URL('dist/src/', import.meta.url))

/** Leads imports of src/ to the compiled files. */
const compiledSources: Plugin = {
  name: 'compiled-sources',
  enforce: 'pre',
  resolveId(source, importer) {
    if (importer === undefined || !source.startsWith('.')) return
    const file = path.resolve(path.dirname(importer), source)
    if (!file.startsWith(sources)) return
    const compiled = path.join(built, path.relative(sources, file)).replace(/\.ts$/, '.js')
    return existsSync(compiled) ? { id: compiled, external: true } : undefined
  },
}

/** With six, processors rest now and then; with eight, what waits is asked so often that all of it takes longer. */
const workers = 7

const processes = {
  extends: true as const,
  plugins: [compiledSources],
}

export default defineConfig({
  test: {
    pool: 'forks',
    // A worker runs one file after another: a process and its imports for each took a tenth of all processor time.
    isolate: false,
    setupFiles: ['test/support/own-environment.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // What is opened first is closed last.
    sequence: { hooks: 'stack', sequencer: LongestFirst },
    server: { deps: { external: [/\/dist\/src\//] } },
    coverage: { provider: 'v8', include: ['src/**'], reportOnFailure: true },
    projects: [
      {
        extends: true,
        test: { name: 'pure', include: pure, maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      {
        ...processes,
        test: {
          name: 'real',
          include: ['test/**/*.test.ts'],
          exclude: [...pure, ...root],
          globalSetup: 'test/support/build.ts',
          setupFiles: ['test/support/leave-nothing.ts'],
          maxWorkers: workers,
          sequence: { groupOrder: 1 },
        },
      },
      {
        ...processes,
        test: {
          name: 'root',
          include: root,
          globalSetup: 'test/support/build.ts',
          setupFiles: ['test/support/leave-nothing.ts'],
          maxWorkers: workers,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
