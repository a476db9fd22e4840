import { errorText, RpcError, rpcCode } from '../protocol/errors.ts'

/**
 * Why a server is not sent a request. `login`: nothing goes before a person has logged in. `other`: this request, now. The message says it in
 * words, with what to type.
 */
export class CredentialProblem extends Error {
  readonly kind: 'login' | 'other'

  constructor(message: string, kind: CredentialProblem['kind']) {
    super(message)
    this.kind = kind
  }
}

/** The answer to a request that the server was not asked, or refused, for want of a credential: it had no effect. */
export function notAdmitted({ message }: CredentialProblem, id: number): string {
  return errorText(String(id), new RpcError(rpcCode.connectorDown, message))
}

/** What the gateway shows to a server: its own, never what a client has shown. */
export interface Credentials {
  /** The value of `Authorization`. @throws CredentialProblem */
  authorization(): Promise<string>
  /**
   * The server did not take it: it is not good any more, or does not allow this.
   * @param challenge its `WWW-Authenticate`.
   * @returns another value to try. @throws CredentialProblem when there is none.
   */
  refused(authorization: string, challenge: string): Promise<string>
}

/** What is shown to the server of one connector. */
export interface UpstreamLogin extends Credentials {
  /** A person must log in before anything can be shown. */
  readonly isNeeded: boolean
}
