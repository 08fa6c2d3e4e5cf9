-- Background jobs as they were last seen, and for long after Redis has forgotten them. Written by `salespulse bridge`, which reads
-- the jobs' event feed; what of it was read is kept beside, and moves in the same transaction.

CREATE TABLE salespulse.job_archive (
    job_id uuid PRIMARY KEY,
    -- NULL: a job of the system, or of a tenant that the warehouse does not know
    tenant_key integer,
    -- of the application; empty for the system's own jobs
    tenant_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- queued, dispatched, running, retrying, canceling, or an ending: succeeded, failed, canceled
    state text COLLATE "C" NOT NULL,
    -- why it failed; NULL unless it did
    code text COLLATE "C",
    attempt integer NOT NULL,
    -- rises with every event of the job: an older picture never replaces a newer one
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    -- the whole job, from which it can be put back into Redis; json, not jsonb, which refuses the NULs that a message may hold
    record json NOT NULL
)
WITH (fillfactor = 80);
CREATE INDEX job_archive_tenant_key_idx ON salespulse.job_archive (tenant_key, created_at);
CREATE INDEX job_archive_ended_at_idx ON salespulse.job_archive (ended_at);

CREATE TABLE salespulse.job_feed_position (
    reader text COLLATE "C" PRIMARY KEY,
    -- of the data in Redis: another one means that the feed began anew
    epoch text COLLATE "C" NOT NULL,
    feed_id text COLLATE "C" NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON salespulse.job_archive, salespulse.job_feed_position TO salespulse_pipeline;
GRANT SELECT ON salespulse.job_archive TO salespulse_dashboard;

ALTER TABLE salespulse.job_archive ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.job_archive TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.job_archive FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));
