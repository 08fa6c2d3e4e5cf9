-- The watermark as it was: the change log is pruned by the horizon of the keep time ago, so that a warehouse restored from a backup that is
-- no older still has every row that it needs. The start of a transaction, which `logged_at` is, says nothing about when it was applied.

CREATE TABLE salespulse.horizon_history (
    noted_at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
    -- every change of a transaction with a lower id was applied and committed by then
    horizon xid8 NOT NULL
);
GRANT SELECT, INSERT, DELETE ON salespulse.horizon_history TO salespulse_pipeline;
