import type { ProgramTemplate } from './index.ts'
import { words } from './words.ts'

const ready = { port: '{port}' }

function template(
  name: string,
  summary: string,
  rest: Partial<ProgramTemplate> & Pick<ProgramTemplate, 'entry'>,
): ProgramTemplate {
  return { name, summary, port: null, furtherPorts: {}, traits: [], note: null, ...rest }
}

/** Starts of applications that compile first take longer than the usual 30 s on a busy machine. */
const slowStart = '2m'

function inspector(
  generation: 1 | 2,
  summary: string,
  rest: Pick<ProgramTemplate, 'furtherPorts' | 'note'>,
): ProgramTemplate {
  return template(`mcp-inspector-${generation}`, summary, {
    port: 6274,
    ...rest,
    entry: {
      command: ['npx', '--yes', `@modelcontextprotocol/inspector@${generation}`],
      env: { CLIENT_PORT: '{port}', MCP_AUTO_OPEN_ENABLED: 'false' },
      ready,
      readyWithin: slowStart,
    },
  })
}

/**
 * The templates that come with port-watchdog. Each listens on loopback only, so that a forward can take the port on the other addresses, and
 * none moves to another port when its own is taken.
 */
export const builtIn: readonly ProgramTemplate[] = [
  template('vite', 'the dev server of Vite', {
    port: 5173,
    traits: [{ dependency: 'vite' }],
    entry: {
      command: ['node_modules/.bin/vite', '--port', '{port}', '--strictPort'],
      ready,
      output: words.vite,
    },
  }),
  template('nextjs', 'the dev server of Next.js', {
    port: 3000,
    traits: [{ dependency: 'next' }],
    entry: {
      command: ['node_modules/.bin/next', 'dev', '--hostname', 'localhost', '--port', '{port}'],
      env: { NEXT_TELEMETRY_DISABLED: '1' },
      ready,
      output: words.nextjs,
      readyWithin: slowStart,
    },
  }),
  template('express', 'an Express app, started by "npm start"', {
    port: 3000,
    traits: [{ dependency: 'express' }],
    note: 'The app must listen on the port in the variable PORT, and on localhost only: app.listen(process.env.PORT, "localhost").',
    entry: {
      command: ['npm', '--silent', 'start'],
      env: { PORT: '{port}' },
      ready,
      output: words.express,
    },
  }),
  template('fastapi', 'a FastAPI app in main.py, run by uvicorn', {
    port: 8000,
    traits: [{ requirement: 'fastapi' }],
    note: 'For an app elsewhere, write the command with MODULE:NAME in place of main:app.',
    entry: {
      command: [
        'python3',
        '-m',
        'uvicorn',
        'main:app',
        '--host',
        '127.0.0.1',
        '--port',
        '{port}',
        '--reload',
      ],
      env: { PYTHONUNBUFFERED: '1' },
      ready,
      output: words.fastapi,
    },
  }),
  template('flask', 'a Flask app in app.py or wsgi.py', {
    port: 5000,
    traits: [{ requirement: 'flask' }],
    note: 'For an app elsewhere, set FLASK_APP in env.',
    entry: {
      command: ['python3', '-m', 'flask', 'run', '--debug', '--host', '127.0.0.1', '--port', '{port}'],
      env: { PYTHONUNBUFFERED: '1' },
      ready,
      output: words.flask,
    },
  }),
  template('django', 'the dev server of Django', {
    port: 8000,
    traits: [{ file: 'manage.py' }],
    entry: {
      command: ['python3', 'manage.py', 'runserver', '127.0.0.1:{port}'],
      env: { PYTHONUNBUFFERED: '1' },
      ready,
      output: words.django,
    },
  }),
  template('rails', 'the dev server of Rails', {
    port: 3000,
    traits: [{ file: 'bin/rails' }],
    entry: {
      // A PID file that outlives a killed server keeps the next one from starting.
      command: ['bin/rails', 'server', '-b', '127.0.0.1', '-p', '{port}', '-P', '/dev/null'],
      ready,
      output: words.rails,
      readyWithin: slowStart,
      stop: { signal: 'SIGINT' },
    },
  }),
  template('static', 'the files of a folder', {
    port: 8080,
    traits: [{ file: 'index.html' }],
    // Vite apps have one, too.
    isFallback: true,
    note: 'Every file of the folder can be read.',
    entry: {
      command: ['python3', '-m', 'http.server', '{port}', '--bind', '127.0.0.1'],
      env: { PYTHONUNBUFFERED: '1' },
      ready,
      output: words.static,
    },
  }),
  inspector(2, 'the MCP Inspector 2.x (Node 22.19 or newer)', {
    furtherPorts: { sandbox: 6275 },
    note: 'Anybody who reaches it can start any program on this machine: keep a gate in front.',
  }),
  inspector(1, 'the MCP Inspector 1.x', {
    furtherPorts: { proxy: 6277 },
    note: 'Its page needs the token that the Inspector prints. Anybody who has the token can start any program on this machine: keep a gate in front.',
  }),
  template('mcp-proxy', 'a stdio MCP server over HTTP, by the npm package mcp-proxy', {
    port: 8080,
    note: 'Name the server and its arguments in args.',
    entry: {
      command: ['npx', '--yes', 'mcp-proxy', '--host', '127.0.0.1', '--port', '{port}', '--'],
      ready,
      readyWithin: slowStart,
    },
  }),
]
