import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import path from 'node:path'
import type { AuthorizationServer, Client } from 'oauth4webapi'
import { connectControl } from '../../control/client.ts'
import { type ControlServer, ControlSocketHeld, holdControlSocket } from '../../control/server.ts'
import { removeQuietly, writeFileAtomically } from '../../os/atomic-file.ts'
import { errorCode } from '../../os/failure.ts'
import { readSecretFile } from '../../os/regular-file.ts'
import { fileNames } from '../../record/state-directory.ts'

export interface KeptTokens {
  readonly access: string
  /** Undefined = when this one expires, somebody must log in again. */
  readonly refresh: string | undefined
  /** Wall ms after which it is not used any more, a little before its end; undefined = the issuer does not say. */
  readonly expiresAt: number | undefined
}

/** What is known of the login at one server. It holds secrets. */
export interface LoginRecord {
  readonly version: 1
  /** For people. */
  readonly server: string
  /** What tokens are asked for: `resource` of RFC 8707. */
  readonly resource: string
  readonly issuer: AuthorizationServer
  /** Wall ms at which the document of the issuer was read. */
  readonly discoveredAt: number
  /** Undefined = the gateway is not registered. */
  readonly client: Client | undefined
  /** Where the page of the issuer leads back to, as it was registered. */
  readonly redirectUri: string | undefined
  readonly tokens: KeptTokens | undefined
  /** Scopes that the server has named. */
  readonly scopes: readonly string[]
}

/** ms that another process may hold the lock: two requests to an issuer. */
const lockMs = 45_000

/** The login at one server, kept in the state directory (0600). Its name comes from the server's URL alone, so that it outlives versions and new names of connectors. */
export class KeptLogin {
  readonly #file: string
  readonly #lock: string

  constructor(stateDirectory: string, server: string) {
    const key = createHash('sha256').update(serverKey(server)).digest('hex').slice(0, 16)
    this.#file = path.join(stateDirectory, fileNames.gatewayLogin(key))
    this.#lock = path.join(stateDirectory, fileNames.gatewayLoginLock(key))
  }

  /** Another text when another process has changed it. Cheap. */
  stamp(): string {
    const facts = statSync(this.#file, { throwIfNoEntry: false })
    return facts === undefined ? '' : `${facts.ino} ${facts.mtimeMs} ${facts.size}`
  }

  /** Undefined = there is none, or one that cannot be understood. @throws the system's error, EUNTRUSTED when others can read it. */
  read(): LoginRecord | undefined {
    let text: string
    try {
      text = readSecretFile(this.#file)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    }
    try {
      const record = JSON.parse(text) as LoginRecord
      return record.version === 1 ? record : undefined
    } catch {
      return undefined
    }
  }

  write(record: LoginRecord): void {
    writeFileAtomically(this.#file, `${JSON.stringify(record)}\n`)
  }

  remove(): void {
    removeQuietly(this.#file)
  }

  /**
   * Does something while no other process does: of those that want to spend the same refresh token, one may. The kernel gives the lock
   * back when its holder dies.
   * @throws the system's error; an error with the code ETIMEDOUT when another process holds it for too long.
   */
  async alone<T>(action: () => Promise<T>): Promise<T> {
    const held = await this.#hold()
    try {
      return await action()
    } finally {
      held.close()
    }
  }

  async #hold(): Promise<ControlServer> {
    const until = performance.now() + lockMs
    for (;;) {
      try {
        return await holdControlSocket(this.#lock, { identify: () => ({ role: 'login' }) })
      } catch (error) {
        if (!(error instanceof ControlSocketHeld) || performance.now() > until) throw error
        await this.#released(until - performance.now())
      }
    }
  }

  async #released(withinMs: number): Promise<void> {
    try {
      const holder = await connectControl(this.#lock)
      const late = setTimeout(() => holder.close(), withinMs)
      await holder.closed
      clearTimeout(late)
    } catch {
      // It has gone meanwhile.
    }
  }
}

/** A server's URL without what does not tell it from others. */
function serverKey(server: string): string {
  const { origin, pathname, search } = new URL(server)
  return `${origin}${pathname.replace(/\/$/, '')}${search}`
}
