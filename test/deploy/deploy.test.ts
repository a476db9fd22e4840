// The samples of deploy/ say what the program really has: options, paths, ports, names, limits. No container engine is needed.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { accessDefaults } from '../../src/config/access-configuration.ts'
import { connectorDefaults } from '../../src/config/connector-configuration.ts'
import { loadConnectors } from '../../src/config/load-connectors.ts'
import { fileNames } from '../../src/record/state-directory.ts'
import { it } from '../support/fixtures.ts'
import { child } from '../support/gateway.ts'
import { Resident } from '../support/resident.ts'
import { checkout, freePort, run, skipFor } from '../support/tools.ts'
import { command } from '../support/watched.ts'

const read = (file: string) => readFileSync(path.join(checkout, 'deploy', file), 'utf8')

interface Container {
  readonly args?: readonly string[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly env: readonly { readonly name: string; readonly value: string }[]
  readonly resources: { readonly limits: Readonly<Record<string, string>> }
  readonly volumeMounts: readonly {
    readonly name: string
    readonly mountPath: string
    readonly subPath?: string
  }[]
  readonly [probe: string]: unknown
}

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
  readonly stringData?: Readonly<Record<string, string>>
  readonly spec: {
    readonly template: {
      readonly metadata: {
        readonly annotations?: Readonly<Record<string, string>>
        readonly labels?: Readonly<Record<string, string>>
      }
      readonly spec: {
        readonly containers: readonly [Container]
        readonly containerConcurrency?: number
        readonly timeoutSeconds?: number
        readonly terminationGracePeriodSeconds?: number
        readonly volumes: readonly { readonly name: string; readonly [source: string]: unknown }[]
      }
    }
    readonly selector: { readonly matchLabels?: object; readonly app?: string }
    readonly ports: readonly { readonly targetPort: string }[]
  }
}

/** The words after an instruction of the Dockerfile that is written as JSON. */
function words(instruction: string): string[] {
  const found = new RegExp(`^${instruction} (\\[.*\\])$`, 'm').exec(read('Dockerfile'))?.[1]
  return JSON.parse(found ?? '[]') as string[]
}

/** What the entry point does with the key, from its own text. */
const script = read('start-gateway')
const keyFile = /MCP_PROXY_KEY_FILE:-([^}]+)}/.exec(script)?.[1] ?? ''
const state = /MCP_PROXY_STATE:-([^}]+)}/.exec(script)?.[1] ?? ''

const kubernetes = parseAllDocuments(read('kubernetes/mcp-proxy.yaml')).map((one) => {
  expect(one.errors).toEqual([])
  return one.toJS() as Manifest
})
const ofKind = (kind: string) => {
  const found = kubernetes.find((one) => one.kind === kind)
  if (found === undefined) throw new Error(`no ${kind}`)
  return found
}

/** Every path that a probe or the health check asks for. */
function probedPaths(): string[] {
  const texts = [read('Dockerfile'), read('kubernetes/mcp-proxy.yaml')].join('\n')
  const paths = [...texts.matchAll(/path: (\/\w+)|127\.0\.0\.1:8080(\/\w+)/g)].map(
    ([, one, other]) => one ?? other ?? '',
  )
  expect(paths.length).toBeGreaterThan(3)
  return [...new Set([...paths, '/health'])]
}

describe('deploy/', { timeout: 60_000 }, () => {
  it('the image: its key comes from a secret, its words start a gateway, and that answers its probes', async ({
    watched,
  }) => {
    const port = await freePort()
    const folder = watched.file('image')
    const own = watched.file('state')
    mkdirSync(folder)
    mkdirSync(own, { mode: 0o700 })
    writeFileSync(path.join(folder, 'mcp-proxy'), `#!/bin/sh\nexec ${command('mcp-proxy').join(' ')} "$@"\n`)
    chmodSync(path.join(folder, 'mcp-proxy'), 0o755)
    const secret = path.join(folder, 'key')
    writeFileSync(secret, 'pwg_from-the-secret\n', { mode: 0o640 })
    // The sample as it is, but for its port, its proxy, which is this test, and its server, which would come from npm.
    const sample = parse(read('port-watchdog.yaml')) as { gateway: { http: object }; connectors: object }
    const http = {
      ...sample.gateway.http,
      listen: `0.0.0.0:${port}`,
      trustedProxies: ['private', '127.0.0.1'],
    }
    const file = path.join(folder, 'port-watchdog.yaml')
    const written = { connectors: { everything: child() }, gateway: { ...sample.gateway, http } }
    writeFileSync(file, JSON.stringify(written), { mode: 0o644 })
    const places: Readonly<Record<string, string>> = {
      [state]: own,
      '/etc/port-watchdog/port-watchdog.yaml': file,
    }
    const image = words('CMD').map((word) => places[word] ?? word)
    const environment = {
      PATH: `${folder}:${process.env.PATH}`,
      MCP_PROXY_KEY_FILE: secret,
      MCP_PROXY_STATE: own,
    }
    const gateway = watched.adopt(
      new Resident([path.join(checkout, 'deploy/start-gateway'), ...image], environment),
    )
    await gateway.line(/Proxy started/)
    expect(statSync(path.join(own, fileNames.gatewayFirstKey)).mode & 0o777).toBe(0o600)
    const ask = (place: string, headers: Record<string, string> = {}) =>
      fetch(`http://127.0.0.1:${port}${place}`, { headers })
    for (const place of probedPaths()) expect((await ask(place)).status, place).toBe(200)
    expect((await ask('/metrics', { 'x-api-key': 'pwg_from-the-secret' })).status).toBe(200)
    const brought = { 'x-forwarded-for': '6.6.6.6, 203.0.113.9', 'user-agent': 'uptime/1' }
    expect(await (await ask('/health', brought)).json()).toMatchObject({ status: 'ok' })
    // Behind a proxy nobody is on this machine, where a question may come without all that the protocol demands.
    const bare = (headers: Record<string, string>) =>
      fetch(`http://127.0.0.1:${port}/mcp`, {
        method: 'POST',
        headers: { 'x-api-key': 'pwg_from-the-secret', 'content-type': 'application/json', ...headers },
        body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
      })
    expect((await bare({})).status).toBe(200)
    expect((await bare(brought)).status).toBe(406)
    // Two headers that differ count for nothing, but the request was passed on.
    expect((await bare({ ...brought, forwarded: 'for=198.51.100.1' })).status).toBe(406)
    await gateway.stop('SIGTERM')
    const log = readFileSync(path.join(own, fileNames.gatewayLog), 'utf8')
    expect(log).toContain('Health check accessed (userAgent=uptime/1 ip=203.0.113.9)')
  })

  it('start-gateway names a secret that is not there', async ({ watched }) => {
    const missing = watched.file('missing')
    const starter = path.join(checkout, 'deploy/start-gateway')
    const { code, stderr } = await run(['/usr/bin/env', `MCP_PROXY_KEY_FILE=${missing}`, starter, 'start'])
    expect(code).toBe(78)
    expect(stderr).toContain(`names ${missing}, which is no file`)
  })

  it('the Dockerfile: no root, the files and ports that the rest names', () => {
    const text = read('Dockerfile')
    const [, last = ''] = text.split(/^FROM .*$/m).slice(-2)
    expect(text.match(/^FROM node:22\S*-slim/gm)).toHaveLength(2)
    expect(last).toMatch(/^USER node$/m)
    expect(last).toMatch(/^EXPOSE 8080$/m)
    expect(words('ENTRYPOINT')).toEqual(['start-gateway'])
    expect(last).toContain(`install -d -m 0700 -o node -g node ${state}`)
    expect(words('CMD').slice(-2)).toEqual(['--state-dir', state])
    for (const [, source = ''] of text.matchAll(/^COPY .*?(deploy\/\S+) /gm))
      expect(statSync(path.join(checkout, source)).isFile()).toBe(true)
    expect(statSync(path.join(checkout, 'deploy/start-gateway')).mode & 0o111).not.toBe(0)
  })

  it('Cloud Run: the values that were asked for, and those of the program', async () => {
    const { spec } = parse(read('cloud-run/service.yaml')) as Manifest
    const { metadata, spec: revision } = spec.template
    const [container] = revision.containers
    expect(metadata.annotations).toMatchObject({
      'autoscaling.knative.dev/minScale': '1',
      'autoscaling.knative.dev/maxScale': '100',
    })
    expect(container.resources.limits).toEqual({ cpu: '1', memory: '1Gi' })
    expect(revision.timeoutSeconds).toBe(connectorDefaults.timeoutMs / 1000)
    const { gateway, connectors } = await loadConnectors(path.join(checkout, 'deploy/port-watchdog.yaml'))
    expect(connectors).toHaveLength(1)
    expect(revision.containerConcurrency).toBe(80)
    expect(gateway.access.requests).toEqual({ ...accessDefaults.requests, inFlight: 80 })
    expect(gateway.http?.listen).toBe(`0.0.0.0:${container.ports[0]?.containerPort}`)
    expectKey(container)
  })

  it('Kubernetes: parts that fit each other and the program', async ({ watched }) => {
    expect(kubernetes.map(({ kind }) => kind)).toEqual([
      'Secret',
      'ConfigMap',
      'Deployment',
      'Service',
      'PodDisruptionBudget',
    ])
    const { spec } = ofKind('Deployment')
    const pod = spec.template.spec
    const [container] = pod.containers
    expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels)
    expect(ofKind('Service').spec.selector).toEqual(spec.template.metadata.labels)
    expect(ofKind('PodDisruptionBudget').spec.selector.matchLabels).toEqual(spec.template.metadata.labels)
    expect(ofKind('Service').spec.ports[0]?.targetPort).toBe(container.ports[0]?.name)
    expect(container.args).toEqual(words('CMD'))
    // The end of the gateway takes 9 s at most.
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(9)
    expectKey(container)
    expect(Object.keys(ofKind('Secret').stringData ?? {})).toEqual([path.basename(keyFile)])
    expect(pod.volumes.map(({ name }) => name).sort()).toEqual(
      container.volumeMounts.map(({ name }) => name).sort(),
    )
    const [[name = '', text = ''] = []] = Object.entries(ofKind('ConfigMap').data ?? {})
    const mount = container.volumeMounts.find((one) => one.name === 'configuration')
    expect(mount).toMatchObject({ mountPath: `/etc/port-watchdog/${name}`, subPath: name })
    const file = watched.file(name)
    writeFileSync(file, text)
    const { gateway } = await loadConnectors(file)
    expect(gateway.http?.listen).toBe(`0.0.0.0:${container.ports[0]?.containerPort}`)
  })

  const noPromtool =
    spawnSync('promtool', ['--version']).error === undefined
      ? undefined
      : 'promtool is missing (Debian: prometheus)'
  it.skipIf(skipFor(noPromtool))(
    'Prometheus: promtool takes the rules, and they fire when those of the gateway do',
    () => {
      for (const [what, file] of [
        ['check', 'deploy/prometheus/rules.yml'],
        ['test', 'test/deploy/prometheus-rules.yml'],
      ] as const) {
        const { status, stdout, stderr } = spawnSync('promtool', [what, 'rules', path.join(checkout, file)], {
          encoding: 'utf8',
        })
        expect(status, `${stdout}${stderr}`).toBe(0)
      }
    },
  )
})

/** The secret is mounted where the entry point looks for it. */
function expectKey({ env, volumeMounts }: Container): void {
  expect(env).toContainEqual({ name: 'MCP_PROXY_KEY_FILE', value: keyFile })
  expect(volumeMounts.find(({ name }) => name === 'key')?.mountPath).toBe(path.dirname(keyFile))
}
