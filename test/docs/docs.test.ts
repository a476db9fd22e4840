import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { describe, it } from 'vitest'
import { companions, type Schema } from '../../scripts/manual/configuration-keys.ts'
import { withTables } from '../../scripts/manual/configuration-markdown.ts'
import { optionExamples, otherExamples } from '../../scripts/manual/examples.ts'
import { withOrders } from '../../scripts/manual/http-api-markdown.ts'
import { umbrella } from '../../src/cli/umbrella.ts'
import { words } from '../../src/cli/words.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { optionList } from '../../src/config/option-table.ts'
import { forwardStates } from '../../src/record/shapes/status-report.ts'
import { fileNames } from '../../src/record/state-directory.ts'
import { severity } from '../../src/report/status.ts'
import { temporaryDirectory } from '../support/children.ts'
import { checkout } from '../support/tools.ts'

const read = (file: string) => readFileSync(path.join(checkout, file), 'utf8')
const manifest = JSON.parse(read('package.json')) as {
  bin: Record<string, string>
  scripts: Record<string, string>
}

/** What users read. */
const guides = [
  'README.md',
  ...readdirSync(path.join(checkout, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]
const pages = [...guides, 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'scripts/bench/README.md']

interface Block {
  readonly page: string
  readonly language: string
  readonly text: string
}

function blocksOf(page: string): Block[] {
  return [...read(page).matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)].map(([, language = '', text = '']) => ({
    page,
    language,
    text,
  }))
}

/** Code inside of sentences. */
function codeOf(page: string): string[] {
  const prose = read(page).replaceAll(/^ *```[\s\S]*?^ *```$/gm, '')
  return [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}

const commands = new Map<string, Command>([['port-watchdog', umbrella()]])
for (const { word, program, command } of words) {
  const made = await command?.()
  if (made === undefined) continue
  commands.set(`port-watchdog ${word}`, made)
  if (program !== undefined) commands.set(program, made)
}
const scripts = [
  'port-watchdog install-service',
  'scripts/start',
  'scripts/install-systemd',
  'scripts/test',
  'scripts/soak',
  'scripts/verify',
  'scripts/bench/forward',
]
const knownFlags = (command: string): readonly string[] | undefined => {
  const made = commands.get(command)
  if (made !== undefined) {
    const flags = [made, ...made.commands].flatMap((one) => one.createHelp().visibleOptions(one))
    return flags.flatMap(({ short, long }) => [short, long].filter((flag) => flag !== undefined))
  }
  // It passes on what it does not know.
  return command === 'scripts/start'
    ? [...(knownFlags('proxy-monitor') ?? []), '--with-inspector', '--no-gate']
    : undefined
}
const scriptText = scripts
  .filter((name) => name.includes('/'))
  .map(read)
  .join('\n')
const allFlags = new Set([...commands.keys()].flatMap((name) => knownFlags(name) ?? []))

/** Keys and options of other programs that the guides name. */
const foreignKeys = new Set(['allowedDevOrigins'])
const foreignFlags = new Set(['--exclude', '--fd', '--network', '--ulimit'])

describe('documentation', () => {
  it('has links that lead somewhere', () => {
    for (const page of pages) {
      const text = read(page)
      const links = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)]
      for (const [, inText, inTag] of links) {
        const link = inText ?? inTag ?? ''
        if (/^[a-z]+:/.test(link)) continue
        const [file = '', anchor] = link.split('#')
        const target = file === '' ? page : path.join(path.dirname(page), file)
        assert.ok(existsSync(path.join(checkout, target)), `${page}: ${link}`)
        if (anchor !== undefined) {
          const anchors = [...read(target).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => slug(heading))
          assert.ok(anchors.includes(anchor), `${page}: ${link} (there are ${anchors.join(', ')})`)
        }
      }
    }
  })

  it('links to nothing that the package leaves out', () => {
    const { files } = JSON.parse(read('package.json')) as { files: string[] }
    const isPacked = (file: string) =>
      ['README.md', 'LICENSE', 'package.json'].includes(file) ||
      files.some((packed) => file === packed || file.startsWith(`${packed}/`))
    for (const page of guides) {
      for (const [, link = ''] of read(page).matchAll(/(?:\]\(|src="|srcset=")([^)"#\s]+)/g)) {
        if (!/^[a-z]+:/.test(link))
          assert.ok(isPacked(path.join(path.dirname(page), link)), `${page}: ${link}`)
      }
    }
  })

  it('has an index that names every guide', () => {
    const index = read('docs/README.md')
    for (const guide of guides.filter((page) => page !== 'README.md' && page !== 'docs/README.md'))
      assert.ok(index.includes(`(${path.basename(guide)}`), guide)
  })

  it('names options that exist', () => {
    for (const page of guides) {
      for (const line of [
        ...codeOf(page),
        ...blocksOf(page).flatMap(({ language, text }) => (language === 'sh' ? commandLines(text) : [])),
      ]) {
        for (const { command, flags } of usesIn(line)) {
          for (const flag of flags) {
            const known =
              command === undefined
                ? allFlags.has(flag) || scriptText.includes(flag) || foreignFlags.has(flag)
                : (knownFlags(command)?.includes(flag) ?? scriptText.includes(flag))
            assert.ok(known, `${page}: ${line}: ${flag}`)
          }
        }
      }
    }
  })

  it('names commands, scripts and files that exist', () => {
    for (const page of guides) {
      const lines = [...codeOf(page), ...blocksOf(page).flatMap(({ text }) => text.split('\n'))]
      for (const line of lines) {
        for (const [, script = ''] of line.matchAll(/(?:^|[ /])(scripts\/[a-z/-]+[a-z])/g))
          assert.ok(existsSync(path.join(checkout, script)), `${page}: ${script}`)
        for (const [, word = ''] of line.matchAll(/npm run ([a-z]+)/g))
          assert.ok(word in manifest.scripts, `${page}: npm run ${word}`)
        for (const [, word = ''] of line.matchAll(/^(?:\$ |sudo |npx )?port-watchdog ([a-z-]+)/g))
          assert.ok(
            words.some((one) => one.word === word) || word === 'help',
            `${page}: port-watchdog ${word}`,
          )
      }
    }
  })

  it('has configurations that are valid', async (t) => {
    const folder = temporaryDirectory(t)
    const file = path.join(folder, 'port-watchdog.yaml')
    let checked = 0
    for (const { page, language, text } of guides.flatMap(blocksOf)) {
      if (language !== 'yaml' || /^# (?!port-watchdog\.yaml|yaml-language-server)\S+\.ya?ml/.test(text))
        continue
      for (const [, name = ''] of text.matchAll(/\$\{(\w+)\}/g)) process.env[name] = secretFor(name)
      writeFileSync(file, text)
      await assert.doesNotReject(loadConfiguration(file), `${page}:\n${text}`)
      checked++
    }
    assert.ok(checked >= 8, `only ${checked} configurations were found`)
  })

  it('has an example of each key that is valid', async (t) => {
    const file = path.join(temporaryDirectory(t), 'port-watchdog.yaml')
    const accepted = async (text: string) => {
      writeFileSync(file, text)
      await assert.doesNotReject(loadConfiguration(file), text)
    }
    for (const { name, key } of optionList) {
      const beside = companions[name] ?? []
      const lines = [name, ...beside].map((one) => {
        const itsKey = optionList.find((option) => option.name === one)?.key ?? key
        return `    ${itsKey}: ${optionExamples[one]}\n`
      })
      const target = key === 'target' ? '' : '    target: localhost:3000\n'
      await accepted(`forwards:\n  - name: web\n    listen: 8080\n${target}${lines.join('')}`)
    }
    for (const [place, example] of Object.entries(otherExamples)) {
      const [first = '', ...rest] = place.split('.')
      if (first === 'programs[]') {
        const besides: Readonly<Record<string, string>> = {
          port: 'template: vite',
          args: 'template: vite',
          shell: 'command: npm start',
          group: 'command: [npm, start]\n    user: root',
        }
        const how = besides[rest[0] ?? ''] ?? 'command: [npm, start]'
        const program = `programs:\n  - name: web\n    ${how}\n`
        const isGiven = rest[0] === 'name' || rest[0] === 'command'
        const [key = '', below] = rest
        if (key === 'dependsOn') continue
        const isOfProbe =
          ['ready', 'health'].includes(key) && !['port', 'http', 'command', 'log'].includes(below ?? '')
        const isOfWatch = key === 'watch' && below !== 'files'
        const beside = isOfProbe ? 'port: 5173, ' : isOfWatch ? 'files: src, ' : ''
        const line = below === undefined ? `${key}: ${example}` : `${key}: { ${beside}${below}: ${example} }`
        await accepted(isGiven ? program : `${program}    ${line}\n`)
        continue
      }
      if (first === 'connectors' && rest.length > 0) {
        const [key = ''] = rest
        const isRemote = ['url', 'headers', 'auth', 'type'].includes(key)
        const beside = isRemote ? 'url: "http://localhost:1/sse"' : 'command: [uvx, x]'
        const isAlone = key === 'url' || key === 'command'
        await accepted(`connectors:\n  time: { ${isAlone ? '' : `${beside}, `}${key}: ${example} }\n`)
        continue
      }
      const isChecked = [
        'alerts.channels[]',
        'alerts.ping.',
        'gateway.store.',
        'gateway.http.',
        'http.',
      ].some((start) => place.startsWith(start))
      if (first === 'forwards[]' || isChecked) continue
      const steps = [first, ...rest]
      await accepted(`${steps.map((step, depth) => `${'  '.repeat(depth)}${step}:`).join('\n')} ${example}\n`)
    }
    const http = (...keys: string[]) =>
      accepted(`http:\n${keys.map((key) => `  ${key}: ${otherExamples[`http.${key}`]}\n`).join('')}`)
    await http('listen', 'hosts', 'insecure')
    await http('listen', 'tlsSelfSigned', 'tlsClientCa')
    await http('listen', 'tlsCert', 'tlsKey')
    const store = (key: string) => `${key}: ${otherExamples[`gateway.store.${key}`]}`
    await accepted(`gateway:\n  store: { ${store('url')}, ${store('outage')} }\n`)
    await accepted(
      `gateway:\n  http: { listen: "127.0.0.1:8080", trustedProxies: ${otherExamples['gateway.http.trustedProxies']} }\n`,
    )
    const channel = (key: string) => `${key}: ${otherExamples[`alerts.channels[].${key}`]}`
    await accepted(
      `alerts:\n  channels:\n    - { type: webhook, ${channel('name')}, ${channel('url')}, ${channel('secret')} }\n` +
        `    - { type: command, ${channel('command')}, ${channel('environment')} }\n` +
        `  ping: { url: ${otherExamples['alerts.ping.url']}, interval: 5m, fail: true }\n`,
    )
  })

  it('has the reference of orders that the table has', () => {
    const page = read('docs/http-api.md')
    assert.equal(compact(page), compact(withOrders(page)), 'run npm run schema')
  })

  it('has the tables of keys that the code has', () => {
    const schema = JSON.parse(read('schema/port-watchdog.schema.json')) as Schema
    const page = read('docs/configuration.md')
    assert.equal(compact(page), compact(withTables(page, schema)), 'run npm run schema')
  })

  it('names keys and fields that exist', () => {
    const sources = readdirSync(path.join(checkout, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => read(`src/${name}`))
      .join('\n')
    const keys = new Set([...optionList.map(({ key }) => key), ...Object.keys(otherExamples).map(lastPart)])
    for (const page of guides) {
      for (const code of codeOf(page).filter(
        (one) => !foreignKeys.has(one) && /^[a-z]+(?:[A-Z][a-z]*)+$/.test(one),
      )) {
        assert.ok(keys.has(code) || new RegExp(`\\b${code}\\b`).test(sources), `${page}: ${code}`)
      }
    }
  })

  it('tells the exit codes that the commands tell', () => {
    const page =
      read('docs/operations.md')
        .split(/^## Exit codes$/m)[1]
        ?.split(/^## /m)[0] ?? ''
    const programs = [
      'tcp-proxy',
      'proxy-monitor',
      'proxy-status',
      'proxy-log',
      'proxy-ctl',
      'port-watchdog doctor',
    ]
    for (const program of programs) {
      const own = page.split(/^### /m).find((part) => part.startsWith(`\`${program}\``)) ?? ''
      const told = [...own.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code))
      assert.deepEqual(told, exitCodesOf(program), program)
    }
  })

  it('explains every state of a forward, with how bad it is', () => {
    const section =
      read('docs/concepts.md')
        .split(/^## States of a forward$/m)[1]
        ?.split(/^## /m)[0] ?? ''
    const told = [...section.matchAll(/^\| (\S) `(\w+)` /gm)].map(([, sign, state]) => ({ sign, state }))
    assert.deepEqual(told.map(({ state }) => state).sort(), [...forwardStates].sort())
    for (const { sign, state } of told) {
      const expected = severity(state as Parameters<typeof severity>[0])
      const shown = sign === '✗' ? 2 : sign === '!' ? 1 : 0
      assert.equal(shown, expected, state)
    }
  })

  it('names every file of the state directory', () => {
    const page = read('docs/operations.md')
    for (const name of Object.values(fileNames)) {
      const file =
        typeof name === 'string' ? name : (name as (...parts: string[]) => string)('6274', 'stdout')
      const shown = file.replace(/(alert|program|login)_6274/, '$1_NAME')
      assert.ok(page.includes(`\`${shown}\``), shown)
    }
  })
})

/** Without the blanks by which Biome brings the columns of tables in line. */
function compact(page: string): string {
  return page.replaceAll(/ {2,}(?=\|)/g, ' ').replaceAll(/-{3,}/g, '---')
}

/** As GitHub makes anchors of headings. */
function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}

function lastPart(place: string): string {
  return place.split('.').at(-1) ?? place
}

/** Lines of a shell block, joined where they continue, without comments. */
function commandLines(text: string): string[] {
  return text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, ''))
}

/** Our commands in a line, each with its flags; flags without a command for a flag that stands alone. */
function usesIn(line: string): { command: string | undefined; flags: string[] }[] {
  const flagsIn = (text: string) => text.match(/(?<=^|[\s[(])--?[a-zA-Z][a-z-]*/g) ?? []
  if (line.startsWith('-'))
    return [{ command: undefined, flags: flagsIn(line).filter((flag) => flag.startsWith('--')) }]
  return line.split(/&&|\|\||[|;]| -- /).flatMap((part) => {
    const [, command, rest = ''] =
      /^\s*(?:\$ |sudo |nohup |npx |[A-Z_]+=\S* )*(?:dist\/bin\/|\.\/)?(port-watchdog [a-z][a-z-]*|[a-z]+-[a-z]+|scripts\/[a-z/-]+)(?:\.cjs)?(?=\s|$)(.*)$/s.exec(
        part,
      ) ?? []
    if (command === undefined) return []
    const isOurs = commands.has(command) || scripts.includes(command)
    return isOurs ? [{ command, flags: flagsIn(rest) }] : []
  })
}

function exitCodesOf(program: string): number[] {
  const command = commands.get(program)
  assert.ok(command, program)
  let help = ''
  command.configureOutput({
    writeOut: (text) => {
      help += text
    },
  })
  command.outputHelp()
  const section = /^Exit codes:\n((?: +.*\n)+)/m.exec(help)?.[1] ?? ''
  return [...section.matchAll(/^ {1,4}(\d+) /gm)].map(([, code]) => Number(code))
}

function secretFor(name: string): string {
  return name.includes('SECRET')
    ? 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
    : 'https://alerts.example.com/hook'
}
