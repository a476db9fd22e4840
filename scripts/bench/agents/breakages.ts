// Twelve ways in which an app is broken, and the words by which one knows the cause.

export interface Breakage {
  readonly name: string
  /** The app, for Node. `PORT` is in its environment. */
  readonly code: string
  /** A text that matches this names the cause. */
  readonly cause: RegExp
  /** What a person would say of this app in our configuration, beside its command and its port. */
  readonly ours?: (port: number) => Readonly<Record<string, unknown>>
  /** Somebody else listens on its port. */
  readonly isTaken?: true
  /** It runs in a folder that is not there. */
  readonly isLost?: true
  /** s after which the fault shows; 0 = it shows at the start. */
  readonly showsAfter?: number
}

const serve =
  "require('node:http').createServer((_, answer) => answer.end('ok')).listen(process.env.PORT, '127.0.0.1')"

export const breakages: readonly Breakage[] = [
  {
    name: 'syntax error',
    code: `const settings = { port: };\n${serve}`,
    cause: /SyntaxError: Unexpected token/,
  },
  {
    name: 'missing module',
    code: `require('left-out');\n${serve}`,
    cause: /Cannot find module 'left-out'/,
  },
  {
    name: 'missing variable',
    code: `if (!process.env.DATABASE_URL) throw new Error('DATABASE_URL is not set');\n${serve}`,
    cause: /DATABASE_URL is not set/,
  },
  {
    name: 'port taken',
    code: serve,
    cause: /EADDRINUSE|port \d+ is (?:taken|held|in use)|holds port/,
    isTaken: true,
  },
  {
    name: 'crash loop',
    code: `${serve};\nsetTimeout(() => { const session = undefined; console.log(session.user) }, 300)`,
    cause: /Cannot read properties of undefined \(reading 'user'\)/,
  },
  {
    name: 'hang',
    code: `${serve};\nconsole.log('ready');\nsetTimeout(() => { for (;;); }, 3000)`,
    cause: /(?:does|did) not answer/i,
    ours: (port) => ({
      health: {
        http: `http://127.0.0.1:${port}/`,
        interval: '1s',
        timeout: '1s',
        failureThreshold: 2,
      },
    }),
    showsAfter: 15,
  },
  {
    name: 'slow start',
    code: `console.log('warming the cache, 10 minutes left');\nsetTimeout(() => { ${serve} }, 600_000)`,
    cause: /warming the cache/,
    ours: () => ({ readyWithin: '3s' }),
    showsAfter: 5,
  },
  {
    name: 'memory leak',
    code: `${serve};\nconst kept = []; setInterval(() => kept.push(Buffer.alloc(20 << 20, 1)), 100)`,
    cause: /memory.*(?:limit|more than|above)|(?:limit|above).*memory/i,
    ours: () => ({ limits: { memory: '300M' } }),
    showsAfter: 45,
  },
  {
    name: 'log flood',
    code: `${serve};\nconsole.error('ERROR cannot write /data/cache: no space left on device');
let n = 0; setInterval(() => { for (let i = 0; i < 500; i++) console.log('GET /api/items/' + n++ + ' 200 in 5ms') }, 50)`,
    cause: /no space left on device/,
    showsAfter: 5,
  },
  {
    name: 'dependency down',
    code: `require('node:net').connect(5432, '127.0.0.1').on('connect', () => { ${serve} })`,
    cause: /ECONNREFUSED 127\.0\.0\.1:5432/,
  },
  {
    name: 'wrong folder',
    code: serve,
    cause: /no such (?:file or directory|folder)|does not exist|ENOENT|chdir/i,
    isLost: true,
  },
  {
    name: 'exits 0 at once',
    code: `console.log('usage: app [--serve]')`,
    cause: /usage: app \[--serve\]/,
  },
]
