// What the gate changes in a page, and what a real browser makes of it: the gate's script runs first, and nothing that was text becomes code.
import assert from 'node:assert/strict'
import { createServer, type OutgoingHttpHeaders, type Server } from 'node:http'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { declaredEncoding, scriptPlace } from '../../src/forward/gate/page-place.ts'
import { letScriptIn } from '../../src/forward/gate/policy.ts'
import { launchBrowser, visitUrl, whyNoBrowser } from '../support/browser.ts'
import { ask, type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'
import { skipFor } from '../support/tools.ts'

const accept = 'text/html,application/xhtml+xml'

describe('The place of the gate’s script', () => {
  for (const [html, before] of [
    ['<!doctype html><p>', '<!doctype html>'],
    [
      '\n<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN"\n "x">x',
      '\n<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN"\n "x">',
    ],
    ['<!-- <head> --><!doctype html>x', '<!-- <head> --><!doctype html>'],
    ['<!--><!doctype html>x', '<!--><!doctype html>'],
    ['<!---><!doctype html>x', '<!---><!doctype html>'],
    ['<!----><!doctype html>x', '<!----><!doctype html>'],
    ['<!--a--!><!doctype html>x', '<!--a--!><!doctype html>'],
    ['<!--a<!--b--><!doctype html>x', '<!--a<!--b--><!doctype html>'],
    ['<?xml version="1.0"?>\n<!doctype html>x', '<?xml version="1.0"?>\n<!doctype html>'],
    ['</><!doctype html>x', '</><!doctype html>'],
    ['<html><head><title>', ''],
    ['x<!doctype html>', ''],
    ['', ''],
  ] as const) {
    it(`is behind ${JSON.stringify(before)} in ${JSON.stringify(html)}`, () => {
      assert.equal(scriptPlace(html, 0), before.length)
    })
  }

  it('is nowhere in a page that ends within a comment or a DOCTYPE', () => {
    for (const html of ['<!-- a', '<!doctype html', '<!--->'.slice(0, 5), '<?xml'])
      assert.equal(scriptPlace(html, 0), undefined, html)
  })

  it('takes a time that grows no faster than the page', () => {
    for (const text of [
      '<head ',
      '<!--',
      '<!-- -',
      '<!---->',
      '<!--a--!>',
      '<!x>',
      '<',
      ' ',
      '<?',
      '<meta ',
      '<a b="',
      '</',
    ]) {
      const page = text.repeat(Math.ceil((4 << 20) / text.length))
      const start = process.cpuUsage()
      scriptPlace(page, 0)
      declaredEncoding(page)
      const { user } = process.cpuUsage(start)
      assert.ok(user < 1_000_000, `${user / 1000} ms for 4 MiB of ${text}`)
    }
  })
})

describe('The encoding that a page declares', () => {
  for (const [html, encoding] of [
    ['<meta charset=utf-8>', 'utf-8'],
    ['<META CharSet="shift_jis">', 'shift_jis'],
    ['<meta charset=utf-16>', 'utf-8'],
    ['<meta http-equiv=content-type content="text/html; charset=iso-8859-2">', 'iso-8859-2'],
    ['<meta content="text/html; charset=iso-8859-2">', undefined],
    ['<!-- <meta charset=utf-7> --><meta charset=euc-kr>', 'euc-kr'],
    ['<p title="<meta charset=big5>"><meta charset=euc-kr>', 'euc-kr'],
    ['<meta charset=nonsense><meta charset=euc-kr>', 'euc-kr'],
    ['<meta charset="utf-8', undefined],
    [`${' '.repeat(1020)}<meta charset=utf-8>`, undefined],
  ] as const) {
    it(`of ${JSON.stringify(html.trim())} is ${encoding}`, () =>
      assert.equal(declaredEncoding(html), encoding))
  }
})

describe('A content security policy', () => {
  for (const [policy, changed, needsNonce] of [
    ["img-src 'self'", "img-src 'self'", false],
    ["script-src 'self'", "script-src 'self' 'nonce-N'", true],
    ["default-src 'none'", "default-src 'none'; script-src 'nonce-N'", true],
    [
      "script-src 'none'; script-src-elem https://a",
      "script-src 'none'; script-src-elem https://a 'nonce-N'",
      true,
    ],
    ["script-src 'nonce-a' 'strict-dynamic'", "script-src 'nonce-a' 'strict-dynamic' 'nonce-N'", true],
    ["script-src 'unsafe-inline' https://a", "script-src 'unsafe-inline' https://a 'self'", false],
    [
      "script-src 'self', default-src 'none'",
      "script-src 'self' 'nonce-N', default-src 'none'; script-src 'nonce-N'",
      true,
    ],
  ] as const) {
    it(`${policy} lets the gate’s script in and nothing else`, () => {
      assert.deepEqual(letScriptIn(policy, 'N'), { header: changed, needsNonce })
    })
  }
})

describe('A page behind a gate', () => {
  let target: Server
  let gate: GateUnderTest
  let cookie: string
  let answer: { headers: OutgoingHttpHeaders; body: Buffer; status?: number } = {
    headers: {},
    body: Buffer.alloc(0),
  }
  let browser: Browser | undefined

  beforeAll(async () => {
    target = createServer((request, response) => {
      if (request.url === '/own.js') return void response.end('window.own = true')
      if (request.url !== '/') return void response.writeHead(404).end()
      response.writeHead(answer.status ?? 200, answer.headers)
      response.end(answer.body)
    })
    gate = await startGate(await listen(target))
    cookie = await logIn(gate)
    if (whyNoBrowser() === undefined) browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await gate.close()
    target.close()
  })

  const serve = (body: string | Buffer, headers: OutgoingHttpHeaders = {}, status = 200) => {
    const bytes = Buffer.from(body as string)
    answer = { headers: { 'content-type': 'text/html', ...headers }, body: bytes, status }
  }
  const get = (method = 'GET') => ask(gate.port, { method, headers: { cookie, accept } })

  it('in a coding that nobody asked for gets the script all the same', async () => {
    const html = '<!doctype html><p>text'
    for (const [coding, encode] of [
      ['gzip', gzipSync],
      ['deflate', deflateSync],
      ['br', brotliCompressSync],
    ] as const) {
      serve(encode(Buffer.from(html)), { 'content-encoding': coding, etag: '"1"' })
      const { body, headers } = await get()
      assert.equal(body, '<!doctype html><script src="/.port-watchdog/page.js"></script><p>text')
      assert.deepEqual([headers['content-encoding'], headers.etag], [undefined, undefined])
      assert.equal(headers['content-length'], String(body.length))
    }
  })

  it('in a broken coding is told as that', async () => {
    serve('no gzip', { 'content-encoding': 'gzip' })
    const { status, body } = await get()
    assert.equal(status, 502)
    assert.match(body, /malformed/)
  })

  it('answers HEAD without a length that GET would not have', async () => {
    serve('<!doctype html><p>text', { 'content-length': 22, etag: '"1"' })
    const { status, headers, body } = await get('HEAD')
    assert.deepEqual([status, body, headers['content-length'], headers.etag], [200, '', undefined, undefined])
  })

  it('without a body of its own is left alone', async () => {
    for (const status of [204, 304]) {
      serve('', { etag: '"1"' }, status)
      const { body, headers, status: seen } = await get()
      assert.deepEqual([seen, body, headers.etag, headers['content-length']], [status, '', '"1"', undefined])
    }
  })

  it('may be framed by the pages of this gate alone', async () => {
    serve('<p>', { 'content-security-policy': "img-src 'self'" })
    const { headers } = await get()
    assert.equal(headers['content-security-policy'], "img-src 'self', frame-ancestors 'self'")
  })

  describe('in Chromium', { skip: skipFor(whyNoBrowser()) }, () => {
    /** What ran, and what the browser made of the page. */
    const facts = `({
      script: crypto.randomUUID !== undefined && window.fetch.toString().includes('plainFetch'),
      own: window.own, attacked: window.attacked ?? false, mode: document.compatMode, charset: document.characterSet,
      text: document.body?.innerText.trim(),
    })`
    // A page of its own for each visit takes three times the processor time of all else that a visit does.
    let page: Page
    beforeAll(async () => {
      const context = await (browser as Browser).newContext()
      const [name = '', value = ''] = cookie.split('=')
      await context.addCookies([{ name, value, domain: '127.0.0.1', path: '/', sameSite: 'Strict' }])
      page = await context.newPage()
      page.setDefaultTimeout(60_000)
    })
    const visit = async (): Promise<Record<string, unknown>> => {
      await visitUrl(page, `http://127.0.0.1:${gate.port}/`)
      return (await page.evaluate(facts)) as Record<string, unknown>
    }
    const attack = '<head><img src=x onerror="window.attacked=true">'

    for (const [what, html] of [
      [
        'a string of a script',
        `<!doctype html><script>var user = {"name":"${attack.replace(/"/g, "'")}"}</script><p>text`,
      ],
      ['an attribute', `<!doctype html><p title="<head><img src=x onerror='window.attacked=true'>">text</p>`],
      ['a comment', `<!doctype html><!-- <head> --><script src=own.js></script><p>text`],
      ['a page without a DOCTYPE', `<html><head></head><p>text`],
      ['a comment before the DOCTYPE', `<!-- ${attack} --><!doctype html><p>text`],
    ] as const) {
      it(`${what} stays what it was, and the script runs`, async () => {
        serve(html)
        const seen = await visit()
        assert.equal(seen.script, true)
        assert.equal(seen.attacked, false)
        assert.equal(seen.text, 'text')
        assert.equal(seen.mode, html.includes('<!doctype') ? 'CSS1Compat' : 'BackCompat')
      })
    }

    it('a page of many unfinished tags is there at once', async () => {
      serve('<head '.repeat(200_000))
      const start = process.cpuUsage()
      await get()
      assert.ok(process.cpuUsage(start).user < 2_000_000)
    })

    for (const [what, bytes, headers, charset] of [
      ['a UTF-8 mark', Buffer.from('\ufeff<!doctype html><p>text'), {}, 'UTF-8'],
      ['a UTF-16LE mark', Buffer.from('\ufeff<!doctype html><p>text', 'utf16le'), {}, 'UTF-16LE'],
      ['a UTF-16BE mark', Buffer.from('\ufeff<!doctype html><p>text', 'utf16le').swap16(), {}, 'UTF-16BE'],
      [
        'UTF-16 told by the header',
        Buffer.from('<!doctype html><p>text', 'utf16le'),
        { 'content-type': 'text/html; charset=utf-16le' },
        'UTF-16LE',
      ],
      [
        'Shift_JIS told in the page',
        Buffer.from('<!doctype html><meta charset=shift_jis><p>text'),
        {},
        'Shift_JIS',
      ],
      [
        'an encoding told at the last byte that counts',
        Buffer.from(
          `<!doctype html><!--${'-'.repeat(1024 - 18 - 22 - 3 - 2)}--><meta charset=euc-kr><p>text`,
        ),
        {},
        'EUC-KR',
      ],
    ] as const) {
      it(`${what} still tells the encoding`, async () => {
        serve(bytes as Buffer, headers)
        const seen = await visit()
        assert.deepEqual([seen.script, seen.charset, seen.text], [true, charset, 'text'])
      })
    }

    for (const policy of [
      "default-src 'none'; script-src 'nonce-abc'",
      "script-src 'strict-dynamic' 'nonce-abc'",
      "script-src 'sha256-abc='",
      "default-src 'self'",
      "script-src 'unsafe-inline'",
      "script-src 'none'",
    ]) {
      it(`runs its script under ${policy}, and nothing of others`, async () => {
        serve(
          '<!doctype html><script src="http://127.0.0.2:1/x.js"></script><p onclick="window.attacked=true">text',
          {
            'content-security-policy': policy,
          },
        )
        assert.equal((await visit()).script, true)
      })
    }
  })
})
