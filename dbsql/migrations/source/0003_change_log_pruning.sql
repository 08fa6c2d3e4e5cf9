-- How far the change log has been pruned, written in the same statement as the DELETE. A warehouse whose watermark lies below it (restored
-- from an older backup, or a second one) may have missed deleted rows, and compares all of history again.

CREATE TABLE salespulse_source.change_log_pruning (
    change_log_pruning_id boolean PRIMARY KEY DEFAULT true CHECK (change_log_pruning_id),
    -- rows of transactions with a lower id may be gone
    pruned_through xid8 NOT NULL DEFAULT '0',
    -- the cluster that the id belongs to: a dump that is restored elsewhere brings a foreign one along
    system_identifier text NOT NULL DEFAULT ''
);
INSERT INTO salespulse_source.change_log_pruning DEFAULT VALUES;
GRANT SELECT ON salespulse_source.change_log_pruning TO salespulse_reader;
GRANT SELECT, UPDATE ON salespulse_source.change_log_pruning TO salespulse_pipeline;
