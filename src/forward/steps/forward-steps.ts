import type { ForwardOptions } from '../../config/forward-options.ts'
import { alpnNames } from '../../config/values.ts'
import type { CertificateFiles } from '../../web/tls-files.ts'
import type { ConnectionState } from '../connection-state.ts'
import { waitForFirstByte } from './first-byte.ts'
import { type Claim, receiveProxyHeader } from './proxy-protocol-in.ts'
import { sendProxyHeader } from './proxy-protocol-out.ts'
import type { ClientStep, TargetStep } from './steps.ts'
import type { CertificateEvent, TlsIn } from './tls-in.ts'
import type { TlsOut } from './tls-out.ts'

export interface ForwardStepsOptions {
  readonly forward: ForwardOptions
  /** Makes clients speak TLS. */
  readonly certificate: CertificateFiles | undefined
  /** Judges a connection by what its PROXY header claims. False when it was turned away. */
  readonly admit: (connection: ConnectionState, claim: Claim) => boolean
  /** Comes right after the PROXY header. */
  readonly afterHeader: ClientStep | undefined
  readonly report: (event: CertificateEvent) => void
}

/** What stands between accept and relay, in order. Empty until it is prepared; a plain forward's stays empty. */
export class ForwardSteps {
  readonly client: ClientStep[] = []
  readonly target: TargetStep[] = []
  /** Client steps that need to know what the target said. */
  readonly lateClient: ClientStep[] = []
  #tlsIn: TlsIn | undefined
  #tlsOut: TlsOut | undefined

  /**
   * TLS is loaded only by a forward that speaks it.
   * @throws Failure when a certificate cannot be used.
   */
  async prepare({ forward, certificate, admit, afterHeader, report }: ForwardStepsOptions): Promise<void> {
    const { proxyHeaderTimeoutMs, firstByteTimeoutMs, sendProxy, targetTls } = forward
    if (forward.acceptProxy.length > 0) {
      this.client.push(receiveProxyHeader(proxyHeaderTimeoutMs, admit))
      if (afterHeader !== undefined) this.client.push(afterHeader)
    }
    if (firstByteTimeoutMs > 0) this.client.push(waitForFirstByte(firstByteTimeoutMs))
    if (certificate !== undefined) await this.#prepareTlsIn(forward, certificate, report)
    if (sendProxy === 'v1' || sendProxy === 'v2') this.target.push(sendProxyHeader(sendProxy))
    if (targetTls) {
      const { dialTls } = await import('./tls-out.ts')
      this.#tlsOut = await dialTls(forward, report)
      this.target.push(this.#tlsOut.step)
    }
  }

  /** Of the certificate in use; undefined when clients speak plain TCP. */
  get certificate(): TlsIn['certificate'] | undefined {
    return this.#tlsIn?.certificate
  }

  /** What a person should know although everything works, in words. */
  warnings(): string[] {
    const warnings: string[] = []
    const { certificate, problem } = this.#tlsIn ?? {}
    if (problem !== undefined) warnings.push(`the certificate from before is kept: ${problem}`)
    if (certificate !== undefined && Date.parse(certificate.validTo) < Date.now()) {
      warnings.push(`its certificate expired at ${certificate.validTo}`)
    }
    if (this.#tlsOut?.problem !== undefined) {
      warnings.push(`the authorities from before are kept: ${this.#tlsOut.problem}`)
    }
    return warnings
  }

  /** Reads certificates and authorities again, as their files' change does by itself. No connection is touched. */
  async reloadCertificates(): Promise<void> {
    await Promise.all([this.#tlsIn?.reload(), this.#tlsOut?.reload()])
  }

  close(): void {
    this.#tlsIn?.close()
    this.#tlsOut?.close()
  }

  async #prepareTlsIn(
    { tlsHandshakeTimeoutMs, tlsAlpn, targetAlpn, targetTls, gate }: ForwardOptions,
    files: CertificateFiles,
    report: (event: CertificateEvent) => void,
  ): Promise<void> {
    const { acceptTls } = await import('./tls-in.ts')
    const protocols = gate === '' ? alpnNames(tlsAlpn) : ['http/1.1']
    this.#tlsIn = await acceptTls(files, tlsHandshakeTimeoutMs, protocols, report)
    const { step } = this.#tlsIn
    // Whoever must show a certificate does so before the target hears of it; what it is offered is then told by --tls-alpn.
    const asksTarget =
      targetTls && protocols.length === 0 && targetAlpn.length === 0 && files.clientCa === undefined
    if (!asksTarget) this.client.push(step)
    else {
      const { readHelloFirst } = await import('./hello-first.ts')
      this.client.push(readHelloFirst(step))
      this.lateClient.push(step)
    }
  }
}
