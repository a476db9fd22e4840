import type { ClientBase } from 'pg'
import { exitCode, Failure } from '../../../os/failure.ts'

/** What gateways tell each other of changes by; the payload is the id of a key, or nothing when any of them may have changed. */
export const channel = 'mcp_proxy_keys'

/**
 * How each version of the schema is made of the one before. A step that has been released is never changed; a new one is added at the end. The
 * trigger tells of changes whoever makes them, also by hand; when keys were last used is none.
 */
const steps: readonly string[] = [
  `
  CREATE TABLE mcp_proxy_keys (
    id text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{10}$'),
    name text NOT NULL UNIQUE,
    hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    scopes text[] NOT NULL DEFAULT '{control}',
    connectors text[],
    profile text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz
  );
  CREATE FUNCTION mcp_proxy_keys_changed() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF TG_LEVEL = 'STATEMENT' THEN
      PERFORM pg_notify('${channel}', '');
      RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN PERFORM pg_notify('${channel}', OLD.id); END IF;
    IF TG_OP <> 'DELETE' THEN PERFORM pg_notify('${channel}', NEW.id); END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER mcp_proxy_key_changed
    AFTER INSERT OR DELETE OR UPDATE OF id, name, hash, scopes, connectors, profile, expires_at ON mcp_proxy_keys
    FOR EACH ROW EXECUTE FUNCTION mcp_proxy_keys_changed();
  CREATE TRIGGER mcp_proxy_keys_emptied
    AFTER TRUNCATE ON mcp_proxy_keys FOR EACH STATEMENT EXECUTE FUNCTION mcp_proxy_keys_changed();
  `,
]

/** Of the lock that gateways which start at once take one after another: `mcp-prox` as eight bytes. */
const lock = 0x6d63702d70726f78n

/** ms that waiting for others, and a step, may take. */
const stepMs = 30_000

/**
 * Brings the schema up to date.
 * @throws Failure (78) when it is of a newer version; the database's error when it cannot be made.
 */
export async function prepareSchema(client: ClientBase, place: string): Promise<void> {
  if ((await versionOf(client, place)) === steps.length) return
  await client.query('BEGIN')
  try {
    await client.query(patient('SELECT pg_advisory_xact_lock($1)', [String(lock)]))
    // Another gateway may have been faster.
    const version = await versionOf(client, place)
    for (const text of steps.slice(version)) await client.query(patient(text))
    if (version === 0) await client.query('CREATE TABLE mcp_proxy_schema (version integer NOT NULL)')
    await client.query('DELETE FROM mcp_proxy_schema')
    await client.query('INSERT INTO mcp_proxy_schema (version) VALUES ($1)', [steps.length])
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}

/** A statement that may take longer than those that clients wait for. */
function patient(text: string, values: string[] = []) {
  return { text, values, query_timeout: stepMs }
}

/** 0 = there is none. @throws Failure (78) when it is newer than the steps here. */
async function versionOf(client: ClientBase, place: string): Promise<number> {
  const found = await client.query<{ has: boolean }>(
    `SELECT to_regclass('mcp_proxy_schema') IS NOT NULL AS has`,
  )
  if (found.rows[0]?.has !== true) return 0
  const { rows } = await client.query<{ version: number }>('SELECT version FROM mcp_proxy_schema')
  const version = rows[0]?.version ?? 0
  if (version <= steps.length) return version
  throw new Failure(
    `the store ${place} has schema version ${version}, and this mcp-proxy knows ${steps.length}: install the mcp-proxy that made it, or a newer one`,
    exitCode.configuration,
  )
}
