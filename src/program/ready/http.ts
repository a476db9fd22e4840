import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { errorText } from '../../os/failure.ts'

/**
 * Asks for a URL once. Redirections are answers, and are not followed.
 * @param signal ends the wait.
 * @returns what is wrong, in words; undefined = the answer's status is below 400.
 */
export function askHttp(url: string, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const ask = url.startsWith('https:') ? requestHttps : requestHttp
    // A program's own certificate is for its visitors; whether it answers is asked here.
    const request = ask(url, { signal, agent: false, rejectUnauthorized: false }, (response) => {
      const { statusCode = 0 } = response
      response.destroy()
      resolve(statusCode < 400 ? undefined : `${url} answers with status ${statusCode}`)
    })
    request.on('error', (error) => {
      resolve(signal.aborted ? `${url} does not answer` : `${url}: ${errorText(error)}`)
    })
    request.end()
  })
}
