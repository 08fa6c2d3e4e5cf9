-- Webhooks. Out: where a tenant wants to be told of its jobs' endings, and what is still to be told (an outbox: written in the
-- transaction that archives the ending, sent afterwards). In: addresses at which another system may start a tenant's job.

-- Where one tenant's webhooks go.
CREATE TABLE salespulse.webhook_endpoint (
    endpoint_id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant_key integer NOT NULL REFERENCES salespulse.dim_tenant (tenant_key),
    url text NOT NULL,
    -- NULL: every type
    event_types text[],
    -- In clear, since signing takes the secret itself. While one is replaced the previous one signs, too.
    secret text NOT NULL CHECK (secret LIKE 'whsec\_%'),
    previous_secret text CHECK (previous_secret LIKE 'whsec\_%'),
    previous_secret_until timestamptz,
    is_enabled boolean NOT NULL DEFAULT TRUE,
    disabled_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
    CHECK (is_enabled = (disabled_reason IS NULL))
);
CREATE INDEX webhook_endpoint_tenant_key_idx ON salespulse.webhook_endpoint (tenant_key);

-- One event for one endpoint: outbox and log.
CREATE TABLE salespulse.webhook_delivery (
    -- the receiver knows the event by it
    delivery_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    endpoint_id integer NOT NULL REFERENCES salespulse.webhook_endpoint (endpoint_id) ON DELETE CASCADE,
    job_id text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    -- exactly what is sent: text, since the signature covers every byte
    body text NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- while it is being sent: when the lease ends
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    -- Who sends it now. A sender that was killed leaves it; once the time is over another one takes the delivery up, and what the
    -- first one may still record is refused, since the id is another.
    lease_id uuid,
    ended_at timestamptz,
    last_attempt_at timestamptz,
    last_seconds real,
    last_status integer,
    last_error text,
    last_response text,
    UNIQUE (endpoint_id, job_id, event_type),
    CHECK ((state = 'pending') = (ended_at IS NULL)),
    CHECK (state = 'pending' OR lease_id IS NULL)
);
CREATE INDEX webhook_delivery_due_idx ON salespulse.webhook_delivery (endpoint_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_delivery_leased_idx ON salespulse.webhook_delivery (endpoint_id) WHERE lease_id IS NOT NULL;
CREATE INDEX webhook_delivery_ended_at_idx ON salespulse.webhook_delivery (ended_at) WHERE state <> 'pending';

-- An address at which another system may start a tenant's job. The token in the address is shown once; only its SHA-256 is
-- kept. It is 256 random bits, so that a slow hash would add nothing.
CREATE TABLE salespulse.inbound_hook (
    hook_id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant_key integer NOT NULL REFERENCES salespulse.dim_tenant (tenant_key),
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    -- what a person calls it
    name text NOT NULL,
    kind text COLLATE "C" NOT NULL,
    params jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(params) = 'object'),
    secret text NOT NULL CHECK (secret LIKE 'whsec\_%'),
    previous_secret text CHECK (previous_secret LIKE 'whsec\_%'),
    previous_secret_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL))
);
CREATE INDEX inbound_hook_tenant_key_idx ON salespulse.inbound_hook (tenant_key);

-- The dashboard's role has no right on any of them: they hold secrets.
GRANT SELECT, INSERT, UPDATE, DELETE ON salespulse.webhook_endpoint, salespulse.webhook_delivery TO salespulse_pipeline;
GRANT SELECT, INSERT, UPDATE ON salespulse.inbound_hook TO salespulse_pipeline;
ALTER TABLE salespulse.webhook_endpoint ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.webhook_endpoint TO salespulse_pipeline USING (TRUE) WITH CHECK (TRUE);
ALTER TABLE salespulse.webhook_delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.webhook_delivery TO salespulse_pipeline USING (TRUE) WITH CHECK (TRUE);
ALTER TABLE salespulse.inbound_hook ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.inbound_hook TO salespulse_pipeline USING (TRUE) WITH CHECK (TRUE);

-- What a hook's address starts, and what its calls are signed with. The dashboard's role can't list hooks: it can only ask
-- about one whose token it was shown.
CREATE FUNCTION salespulse.inbound_hook_of(wanted_hash bytea)
RETURNS TABLE (hook_id integer, tenant_id text, kind text, params jsonb, secrets text[])
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.hook_id, t.tenant_id, h.kind, h.params,
        array_remove(ARRAY[h.secret, CASE WHEN h.previous_secret_until > clock_timestamp() THEN h.previous_secret END], NULL)
    FROM salespulse.inbound_hook AS h
    INNER JOIN salespulse.dim_tenant AS t ON h.tenant_key = t.tenant_key
    WHERE h.token_hash = wanted_hash AND h.revoked_at IS NULL AND NOT t.is_deleted
$$;
REVOKE ALL ON FUNCTION salespulse.inbound_hook_of(bytea) FROM public;
GRANT EXECUTE ON FUNCTION salespulse.inbound_hook_of(bytea) TO salespulse_dashboard;
