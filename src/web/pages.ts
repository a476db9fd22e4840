import { createHash } from 'node:crypto'

/** A whole page with the headers that go with it. */
export interface Page {
  readonly html: string
  readonly headers: Readonly<Record<string, string>>
}

export interface LoginPageFacts {
  /** What the visitor sees in the address bar: `10.0.0.1:6274`. */
  readonly host: string
  /** Path to go on to after the login. */
  readonly next: string
  /** Why the last attempt was no success; undefined at the first. */
  readonly problem: string | undefined
  /** Path of the file with the token; undefined for a visitor who must not know it. */
  readonly tokenFile: string | undefined
  /** Where the form goes. */
  readonly path: string
  /** What the token is called; missing = an access token. */
  readonly label?: string
  readonly words: LoginWords
}

/** What a login says of itself: sentences that depend on what is behind it. Text between backticks is shown as code. */
export interface LoginWords {
  readonly heading: string
  /** How a visitor on another machine finds the token. */
  readonly whereTokenIs: string
  /** What a logout ends. */
  readonly whatLogoutEnds: string
  /** To a program without a token. */
  readonly howToLogIn: string
  /** The answer to a form sent from a page of another site. */
  readonly strangersForm: string
}

/** The login page: one form, no script, nothing from elsewhere. */
export function loginPage({ label = 'Access token', ...facts }: LoginPageFacts): Page {
  const { host, next, problem, tokenFile, path, words } = facts
  const describedBy = problem === undefined ? 'hint' : 'problem hint'
  const invalid = problem === undefined ? '' : ' aria-invalid="true"'
  return page(
    'Log in',
    `<h1>${escapeHtml(words.heading)}</h1>
<p class="host"><span class="dot" aria-hidden="true"></span>${escapeHtml(host)}</p>
<form method="post" action="${escapeHtml(path)}">
<input type="hidden" name="next" value="${escapeHtml(next)}">
<label for="token">${escapeHtml(label)}</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password" autocapitalize="none"
 spellcheck="false" maxlength="512" aria-describedby="${describedBy}"${invalid}>
${problem === undefined ? '' : `<p id="problem" class="problem" role="alert">${escapeHtml(problem)}</p>`}
<button type="submit">Log in</button>
</form>
<p id="hint" class="hint">${hint(tokenFile, words)}</p>`,
  )
}

function hint(tokenFile: string | undefined, words: LoginWords): string {
  if (tokenFile === undefined) return withCode(words.whereTokenIs)
  const quoted = /^[\w@%+=:,./-]+$/.test(tokenFile) ? tokenFile : `'${tokenFile.replaceAll("'", "'\\''")}'`
  return `To see the token, run <code>cat ${escapeHtml(quoted)}</code> on this machine.`
}

/** A form and not a link alone: no page may log a visitor out by an image. */
export function logoutPage(host: string, path: string, words: LoginWords): Page {
  return page(
    'Log out',
    `<h1>Log out?</h1>
<p class="host"><span class="dot" aria-hidden="true"></span>${escapeHtml(host)}</p>
<form method="post" action="${escapeHtml(path)}"><button type="submit" autofocus>Log out</button></form>
<p class="hint">${withCode(words.whatLogoutEnds)} <a href="/">Go back</a></p>`,
  )
}

/** For whatever a visitor cannot mend by logging in. */
export function noticePage(
  title: string,
  text: string,
  link?: { readonly path: string; readonly text: string },
): Page {
  const further =
    link === undefined
      ? ''
      : `\n<p class="hint"><a href="${escapeHtml(link.path)}">${escapeHtml(link.text)}</a></p>`
  return page(title, `<h1>${escapeHtml(title)}</h1>\n<p class="notice">${escapeHtml(text)}</p>${further}`)
}

const style = `
:root{color-scheme:light dark;--back:#eef1f6;--glow:#dbe4ff;--card:#fff;--line:#d5dbe6;--text:#172033;--soft:#5a667d;--accent:#2f5bea;
--accent-strong:#2349c4;--on-accent:#fff;--bad:#b3261e;--bad-back:#fdeceb;--good:#1d9a6c}
@media (prefers-color-scheme:dark){:root{--back:#0e131d;--glow:#182444;--card:#171e2c;--line:#33405a;--text:#e8edf7;--soft:#9fadc6;
--accent:#86a5ff;--accent-strong:#a5bcff;--on-accent:#0c1530;--bad:#ffb4ab;--bad-back:#3b1d1c;--good:#4fd3a0}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100dvh;display:grid;place-items:center;padding:1.5rem;background:var(--back)
radial-gradient(60rem 34rem at 50% -8rem,var(--glow),transparent);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
main{width:100%;max-width:26rem;background:var(--card);border:1px solid var(--line);border-radius:1.1rem;
padding:2.25rem 2.25rem 1.75rem;box-shadow:0 1px 2px rgb(15 25 50/.06),0 18px 48px -16px rgb(15 25 50/.28)}
.mark{display:block;width:3rem;height:3rem;color:var(--accent);margin-bottom:1.1rem}
h1{font-size:1.4rem;line-height:1.25;letter-spacing:-.012em;margin:0 0 .6rem}
.host{display:inline-flex;align-items:center;gap:.5rem;max-width:100%;margin:0 0 1.5rem;padding:.15rem .7rem;border:1px solid var(--line);
border-radius:2rem;color:var(--soft);font:.86rem/1.6 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere}
.dot{flex:none;width:.5rem;height:.5rem;border-radius:50%;background:var(--good)}
label{display:block;font-weight:600;font-size:.92rem;margin-bottom:.4rem}
input[type=password]{width:100%;font:inherit;font-family:ui-monospace,Menlo,Consolas,"Liberation Mono",monospace;color:inherit;
background:transparent;border:1px solid var(--soft);border-radius:.6rem;padding:.65rem .8rem}
input[aria-invalid]{border-color:var(--bad)}
button{width:100%;margin-top:1rem;font:inherit;font-weight:600;color:var(--on-accent);background:var(--accent);border:0;border-radius:.6rem;
padding:.7rem 1rem;cursor:pointer}
button:hover{background:var(--accent-strong)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.problem{margin:.75rem 0 0;padding:.55rem .8rem;border-radius:.6rem;background:var(--bad-back);color:var(--bad);font-size:.92rem}
.hint{margin:1.4rem 0 0;padding-top:1.1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.86rem}
.hint a{color:var(--accent)}
.notice{margin:0 0 .5rem;color:var(--soft);overflow-wrap:anywhere}
code{font:.95em ui-monospace,Menlo,Consolas,"Liberation Mono",monospace}
@media (max-width:26rem){body{padding:.75rem}main{padding:1.5rem 1.25rem}}
`

const styleHash = createHash('sha256').update(style).digest('base64')

const mark = `<svg class="mark" viewBox="0 0 48 48" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round"
stroke-linejoin="round" aria-hidden="true"><path d="M6 43V21a18 18 0 0 1 36 0v22"/><path d="M2.5 43h43"/><path d="M13 43V22a11 11 0 0 1 22 0v21"
fill="currentColor" fill-opacity=".12"/><path d="M24 11v32"/><circle cx="19.4" cy="28" r="1.3" fill="currentColor"/><circle cx="28.6" cy="28"
r="1.3" fill="currentColor"/></svg>`

/** `same-origin`: with `no-referrer` a browser sends a form with `Origin: null`, which looks like a form of another site. */
const headers = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

function page(title: string, body: string): Page {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)} · port-watchdog</title>
<style>${style}</style>
</head>
<body>
<main>
${mark}
${body}
</main>
</body>
</html>
`
  return { html, headers }
}

function withCode(text: string): string {
  return escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>')
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
