// Pages of other ports of the host have the session in the eyes of a browser, and must not use it; nor may they frame what is behind the gate.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest'
import { isLoopback, machineAddresses } from '../../src/os/interfaces.ts'
import { launchBrowser, visitUrl, whyNoBrowser } from '../support/browser.ts'
import { ask, type GateUnderTest, listen, logIn, startGate } from '../support/gate.ts'
import { skipFor, until } from '../support/tools.ts'

/** An address to which browsers send no Fetch Metadata on plain http. */
const lan = machineAddresses().find(({ address, family }) => family === 4 && !isLoopback(address))?.address

describe('A page of another port of the host', () => {
  let target: Server
  let gate: GateUnderTest
  let cookie: string
  let seen: IncomingMessage[] = []
  beforeAll(async () => {
    target = createServer((request, response) => {
      seen.push(request)
      response.end('done')
    })
    gate = await startGate(await listen(target))
    cookie = await logIn(gate)
  })
  beforeEach(() => {
    seen = []
  })
  afterAll(async () => {
    await gate.close()
    target.close()
  })

  const browser = { 'user-agent': 'Mozilla/5.0' }
  const navigation = { ...browser, accept: 'text/html', 'upgrade-insecure-requests': '1' }
  const statusOf = async (headers: OutgoingHttpHeaders, method = 'GET') =>
    (await ask(gate.port, { method, headers: { cookie, ...headers } })).status

  it('is told by Fetch Metadata, unless a person follows its link', async () => {
    for (const site of ['same-site', 'cross-site', 'nonsense', '']) {
      const metadata = { 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }
      assert.equal(await statusOf(metadata), 403, site)
      const frame = { ...metadata, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }
      assert.equal(await statusOf(frame), 403, site)
      const link = { ...frame, 'sec-fetch-dest': 'document' }
      assert.equal(await statusOf(link), 200, site)
      assert.equal(await statusOf(link, 'POST'), 403, site)
    }
    for (const site of ['same-origin', 'none']) assert.equal(await statusOf({ 'sec-fetch-site': site }), 200)
    assert.equal(seen.length, 6)
  })

  it('is told by its Referer, and by the lack of one', async () => {
    const own = `http://127.0.0.1:${gate.port}/page`
    for (const referer of [
      'http://127.0.0.1:1/',
      'http://evil.example/',
      'data:x',
      `http://127.0.0.1:${gate.port}.evil.example/`,
    ]) {
      assert.equal(await statusOf({ ...browser, referer }), 403, referer)
      assert.equal(await statusOf({ ...navigation, referer }), 403, referer)
    }
    assert.equal(await statusOf(browser), 403)
    assert.equal(await statusOf({ ...browser, accept: 'text/html' }), 403, 'a fetch may accept anything')
    assert.equal(await statusOf(navigation, 'POST'), 403)
    assert.equal(seen.length, 0)
    assert.equal(await statusOf({ ...browser, referer: own }), 200)
    assert.equal(await statusOf(navigation), 200)
    assert.equal(await statusOf({}), 200, 'a program has no pages')
  })

  it('gets a page that leads on, when a person followed a link', async () => {
    const { body } = await ask(gate.port, {
      headers: { cookie, ...navigation, referer: 'http://127.0.0.1:1/' },
    })
    assert.match(body, /does not belong to this gate.*<a href="\/">Open the start page<\/a>/s)
  })
})

describe('Through a gate on plain http', () => {
  it('a page that hides its referrer tells it to its own host', async () => {
    const target = createServer((_request, response) =>
      response.writeHead(200, { 'content-type': 'text/html', 'referrer-policy': 'no-referrer' }).end('<p>'),
    )
    const gate = await startGate(await listen(target))
    const headers = { cookie: await logIn(gate), accept: 'text/html' }
    const policyFor = async (more: OutgoingHttpHeaders) =>
      (await ask(gate.port, { headers: { ...headers, ...more } })).headers['referrer-policy']
    assert.equal(await policyFor({}), 'same-origin')
    assert.equal(await policyFor({ 'sec-fetch-site': 'none', 'sec-fetch-dest': 'document' }), 'no-referrer')
    await gate.close()
    target.close()
  })
})

describe('In Chromium', { skip: skipFor(whyNoBrowser()) }, () => {
  let browser: Browser
  let page: Page
  beforeAll(async () => {
    browser = await launchBrowser()
    page = await browser.newPage()
    page.setDefaultTimeout(60_000)
  })
  afterAll(() => browser.close())

  /** The page, where this gate's visitor alone is logged in. */
  const openAt = async (url: string, cookie: string): Promise<void> => {
    const [name = '', value = ''] = cookie.split('=')
    await page.context().clearCookies()
    await page
      .context()
      .addCookies([{ name, value, domain: new URL(url).hostname, path: '/', sameSite: 'Strict' }])
    await visitUrl(page, url)
  }

  for (const address of ['127.0.0.1', ...(lan === undefined ? [] : [lan])]) {
    for (const policy of ['no-referrer', 'unsafe-url']) {
      it(`a page of another port at ${address} with the referrer policy ${policy} gets nothing done and shows nothing`, async () => {
        const paths: string[] = []
        const target = createServer((request, response) => {
          paths.push(request.url ?? '')
          response.writeHead(200, { 'content-type': 'text/html' }).end('<p>behind the gate')
        })
        const gate = await startGate(await listen(target), { address })
        const at = (path: string) => `http://${address}:${gate.port}${path}`
        let finished = false
        const stranger = createServer((request, response) => {
          if (request.url === '/finished') finished = true
          response.writeHead(200, { 'content-type': 'text/html', 'referrer-policy': policy })
          response.end(`<!doctype html><img src="${at('/img')}"><script src="${at('/script')}"></script><link rel=stylesheet href="${at('/style')}">
<iframe name=frame src="${at('/frame')}"></iframe><iframe name=second></iframe><form target=second action="${at('/form')}"><input name=a></form>
<script>
addEventListener('load', async () => {
  document.forms[0].submit()
  await fetch('${at('/fetch')}', { mode: 'no-cors', credentials: 'include', headers: { accept: 'text/html' } }).catch(() => {})
  await new Promise((resolve) => { document.querySelector('[name=second]').addEventListener('load', resolve); setTimeout(resolve, 3000) })
  fetch('/finished')
})
</script>`)
        })
        const strangersPort = await listen(stranger, address)
        const { headers } = await ask(
          gate.port,
          {
            host: address,
            method: 'POST',
            path: '/.port-watchdog/login',
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
          },
          `token=${gate.secrets.token}`,
        )
        const cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? ''
        await openAt(`http://${address}:${strangersPort}/`, cookie)
        await until('the page to have tried everything', async () => (finished ? true : undefined), 30_000)
        // A navigation without a referrer cannot be told from a person's on plain http; nothing of it is shown.
        const open = address !== '127.0.0.1' && policy === 'no-referrer' ? ['/form?a=', '/frame'] : []
        assert.deepEqual(paths.filter((path) => path !== '/favicon.ico').sort(), open)
        for (const frame of page.frames().slice(1))
          assert.doesNotMatch(await frame.content().catch(() => ''), /behind the gate/)
        await gate.close()
        for (const server of [stranger, target]) {
          server.closeAllConnections()
          server.close()
        }
      })
    }
  }

  it('a page of the family may do across ports what the target grants, and nothing else', async () => {
    const stateDirectory = mkdtempSync(join(tmpdir(), 'pw-gate-'))
    let cors: OutgoingHttpHeaders = {}
    let seen: IncomingMessage[] = []
    const start = createServer((_request, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
    )
    const api = createServer((request, response) => {
      seen.push(request)
      response
        .writeHead(request.method === 'OPTIONS' ? 204 : 200, { ...cors, 'x-more': 'told' })
        .end('answer')
    })
    const first = await startGate(await listen(start), { stateDirectory })
    const second = await startGate(await listen(api), { stateDirectory })
    await openAt(`http://127.0.0.1:${first.port}/`, await logIn(first))
    const asking = (method: string) =>
      page.evaluate(`fetch('http://127.0.0.1:${second.port}/do?it=now', {
        method: '${method}', headers: { 'x-custom': '1', 'content-type': 'application/json' }, body: '{}',
      }).then(async (answer) => [await answer.text(), answer.headers.get('x-more')]).catch(() => 'refused')`)

    for (const method of ['PUT', 'DELETE', 'POST']) assert.equal(await asking(method), 'refused', method)
    assert.deepEqual([...new Set(seen.map(({ method }) => method))], ['OPTIONS'])
    const [question] = seen
    assert.equal(question?.url, '/do')
    assert.match(question?.headers.origin ?? '', /^http:\/\/localhost:\d+$/)
    assert.equal(question?.headers.cookie, undefined)
    assert.equal(question?.headers['access-control-request-headers'], 'content-type,x-custom')

    seen = []
    const origin = question?.headers.origin ?? ''
    cors = {
      'access-control-allow-origin': origin,
      'access-control-allow-headers': 'x-custom, content-type',
      'access-control-allow-methods': 'PUT',
    }
    assert.equal(await asking('DELETE'), 'refused')
    assert.deepEqual(await asking('PUT'), ['answer', null])
    cors = {
      'access-control-allow-origin': '*',
      'access-control-allow-headers': '*',
      'access-control-allow-methods': '*',
      'access-control-expose-headers': '*',
    }
    assert.deepEqual(await asking('DELETE'), ['answer', 'told'])
    assert.equal(seen.find(({ method }) => method === 'PUT')?.url, '/do?it=now')

    for (const gate of [first, second]) await gate.close()
    for (const server of [start, api]) server.closeAllConnections()
    start.close()
    api.close()
    rmSync(stateDirectory, { recursive: true })
  })
})
