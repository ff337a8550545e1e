//! Flow control: a window of slots, limits and pauses, jobs that wait for others, steps, and counts per minute.

use sea_orm_migration::prelude::*;

use crate::tenancy::wall;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(UP).await?;
        for table in
            ["window_slots", "limits", "job_edges", "job_batches", "job_ends", "job_steps", "job_events", "job_counts"]
        {
            db.execute_unprepared(&wall(table, "org_id")).await?;
        }
        db.execute_unprepared(EVERYBODY_SEES_COMMON_LIMITS).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(DOWN).await?;
        db.execute_unprepared(&wall("job_events", "org_id")).await?;
        Ok(())
    }
}

const UP: &str = "
    -- A job is updated twice in its life, when it is claimed and when it ends. Every index that a new version of the
    -- row has to enter is paid for each time, so each covers the states it is read for and no other.
    DROP INDEX jobs_to_pick, jobs_under_way, jobs_running, jobs_of_org_by_state;
    DROP TRIGGER document_version_follows_job ON jobs;
    ALTER TABLE jobs
        DROP CONSTRAINT jobs_state_check,
        DROP COLUMN dispatched_at,
        DROP COLUMN dispatch_seq,
        ADD COLUMN concurrency_key text NOT NULL DEFAULT '',
        -- How many jobs of its key may run at once, and how much of the rate it uses up.
        ADD COLUMN key_limit integer NOT NULL DEFAULT 1 CHECK (key_limit > 0),
        ADD COLUMN units integer NOT NULL DEFAULT 1 CHECK (units > 0),
        ADD COLUMN unique_key text,
        ADD COLUMN unique_while text CHECK (unique_while IN ('queued', 'running', 'until_success')),
        ADD COLUMN batch_id uuid,
        ADD COLUMN on_success jsonb,
        ADD COLUMN on_failure jsonb,
        -- Something waits for its end: a batch, a job that is to follow, or a follow-up.
        ADD COLUMN watched boolean NOT NULL DEFAULT false;
    ALTER TABLE jobs
        ALTER COLUMN kind TYPE text COLLATE \"C\",
        ALTER COLUMN queue TYPE text COLLATE \"C\",
        ALTER COLUMN state TYPE text COLLATE \"C\",
        ALTER COLUMN concurrency_key TYPE text COLLATE \"C\",
        ADD CONSTRAINT jobs_state_check CHECK
            (state IN ('waiting', 'scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled')),
        -- Lower goes first. A level of priority is worth ten minutes of waiting, so a job that waits climbs, and
        -- none waits for ever. In seconds, of which a double keeps microseconds for centuries.
        ADD COLUMN rank double precision NOT NULL GENERATED ALWAYS AS
            (date_part('epoch', run_at - '2000-01-01 00:00:00+00'::timestamptz) + priority * 600.0) STORED;

    CREATE TRIGGER document_version_follows_job AFTER UPDATE OF state ON jobs FOR EACH ROW
        WHEN (NEW.kind = 'document.ingest' AND OLD.state IS DISTINCT FROM NEW.state
              AND (NEW.state IN ('failed', 'cancelled') OR OLD.state IN ('failed', 'cancelled')))
        EXECUTE FUNCTION document_version_follows_job();

    -- Lane by lane, each in its own order. What may hold jobs back holds back whole lanes, so looking for the next job
    -- never walks over jobs that may not run.
    CREATE INDEX jobs_to_pick ON jobs (queue, org_id, kind, concurrency_key, rank, id) WHERE state = 'queued';
    -- Without lease_until in the index a heartbeat touches no index at all.
    CREATE INDEX jobs_running ON jobs (org_id, id) WHERE state = 'running';
    CREATE INDEX jobs_of_org_by_state ON jobs (org_id, state, id)
        WHERE state IN ('waiting', 'scheduled', 'failed', 'cancelled');
    CREATE INDEX jobs_of_batch ON jobs (batch_id, id) WHERE batch_id IS NOT NULL;
    -- The lock of a unique job is its row: it cannot outlive it. `fence` counts claims: one that was claimed once holds
    -- the lock of `queued` no longer, whatever becomes of it.
    CREATE UNIQUE INDEX jobs_unique ON jobs (org_id, unique_key) WHERE unique_key IS NOT NULL AND (
        (state IN ('waiting', 'scheduled', 'queued') AND (fence = 0 OR unique_while <> 'queued'))
        OR (state = 'running' AND unique_while <> 'queued')
        OR (state = 'failed' AND unique_while = 'until_success'));

    -- The ids that are on their way to a worker: the window, a slot each. Rows are used again and again, no index
    -- covers what changes, and what a crash of Postgres forgets is simply dispatched again; so it needs no log, no
    -- vacuum, and stays as small as it is.
    CREATE UNLOGGED TABLE window_slots (
        slot             integer PRIMARY KEY,
        queue            text COLLATE \"C\" NOT NULL,
        seq              bigint NOT NULL DEFAULT 0,
        job_id           uuid,
        org_id           uuid,
        kind             text COLLATE \"C\",
        concurrency_key  text COLLATE \"C\",
        level            smallint,
        -- Its place in the fair order among its level.
        tag              bigint,
        sent_at          timestamptz
    ) WITH (fillfactor = 20);

    -- Limits and pauses. Organization nil: for all of them.
    CREATE TABLE limits (
        org_id        uuid NOT NULL,
        scope         text NOT NULL CHECK (scope IN ('org', 'queue', 'kind', 'key')),
        name          text NOT NULL,
        weight        integer CHECK (weight BETWEEN 1 AND 1000),
        max_running   integer CHECK (max_running >= 0),
        per_minute    integer CHECK (per_minute > 0),
        paused        boolean NOT NULL DEFAULT false,
        paused_until  timestamptz,
        -- When the units used so far are paid for: the theoretical arrival time of GCRA (ITU-T I.371).
        paid_at       timestamptz,
        updated_at    timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (org_id, scope, name)
    );

    -- `job_id` runs after `after_id` succeeded.
    CREATE TABLE job_edges (
        org_id    uuid NOT NULL,
        job_id    uuid NOT NULL,
        after_id  uuid NOT NULL,
        met       boolean NOT NULL DEFAULT false,
        PRIMARY KEY (job_id, after_id)
    );
    CREATE INDEX job_edges_after ON job_edges (after_id);

    CREATE TABLE job_batches (
        id               uuid PRIMARY KEY,
        org_id           uuid NOT NULL,
        total            integer NOT NULL,
        succeeded        integer NOT NULL DEFAULT 0,
        failed           integer NOT NULL DEFAULT 0,
        cancelled        integer NOT NULL DEFAULT 0,
        on_complete      jsonb,
        on_complete_job  uuid,
        created_at       timestamptz NOT NULL DEFAULT now(),
        finished_at      timestamptz
    );
    CREATE INDEX job_batches_of_org ON job_batches (org_id, id);

    -- Watched jobs that ended (1), or began anew (-1), and whose followers were not told yet: told in a transaction of
    -- its own, so that jobs of one batch do not wait for each other to end.
    CREATE TABLE job_ends (
        id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        org_id  uuid NOT NULL,
        job_id  uuid NOT NULL,
        state   text NOT NULL,
        change  smallint NOT NULL,
        -- What there is to do, for the job itself may be deleted by then.
        batch_id    uuid,
        follow_up   jsonb,
        request_id  text
    );
    CREATE FUNCTION job_is_over() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.state IN ('succeeded', 'failed', 'cancelled') THEN
            INSERT INTO job_ends (org_id, job_id, state, change, batch_id, follow_up, request_id)
            VALUES (NEW.org_id, NEW.id, NEW.state, 1, NEW.batch_id,
                    CASE WHEN NEW.state = 'succeeded' THEN NEW.on_success ELSE NEW.on_failure END, NEW.request_id);
        ELSE
            INSERT INTO job_ends (org_id, job_id, state, change, batch_id)
            VALUES (NEW.org_id, NEW.id, OLD.state, -1, NEW.batch_id);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER job_is_over AFTER UPDATE OF state ON jobs FOR EACH ROW
        WHEN (NEW.watched AND (NEW.state IN ('succeeded', 'failed', 'cancelled'))
                              <> (OLD.state IN ('succeeded', 'failed', 'cancelled')))
        EXECUTE FUNCTION job_is_over();

    -- What a job did once and need not do again.
    CREATE TABLE job_steps (
        job_id       uuid NOT NULL,
        name         text NOT NULL,
        org_id       uuid NOT NULL,
        attempt      integer NOT NULL,
        output       jsonb NOT NULL,
        started_at   timestamptz NOT NULL,
        finished_at  timestamptz NOT NULL,
        PRIMARY KEY (job_id, name)
    );

    -- A job's row tells when it was made, last started, and that it succeeded. Here stands what the row cannot tell. The
    -- id is the time in microseconds since 1970, taken while the job's row is locked: ids of one job are in order.
    DROP TABLE job_events;
    CREATE TABLE job_events (
        job_id   uuid NOT NULL,
        id       bigint NOT NULL,
        org_id   uuid NOT NULL,
        type     text NOT NULL,
        attempt  integer NOT NULL,
        data     jsonb NOT NULL
    );
    CREATE INDEX job_events_of_job ON job_events (job_id, id);

    -- What happened per minute, written by each process from its own counts every few seconds.
    CREATE TABLE job_counts (
        minute     timestamptz NOT NULL,
        org_id     uuid NOT NULL,
        queue      text NOT NULL,
        kind       text NOT NULL,
        submitted  bigint NOT NULL DEFAULT 0,
        succeeded  bigint NOT NULL DEFAULT 0,
        failed     bigint NOT NULL DEFAULT 0,
        retried    bigint NOT NULL DEFAULT 0,
        cancelled  bigint NOT NULL DEFAULT 0,
        wait_ms    bigint NOT NULL DEFAULT 0,
        run_ms     bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (minute, org_id, queue, kind)
    );
";

const EVERYBODY_SEES_COMMON_LIMITS: &str = "
    CREATE POLICY common_rows ON limits FOR SELECT USING (org_id = '00000000-0000-0000-0000-000000000000')";

const DOWN: &str = "
    DROP TABLE job_counts, job_steps, job_batches, job_edges, limits, window_slots;
    DROP TRIGGER job_is_over ON jobs;
    DROP FUNCTION job_is_over;
    DROP TABLE job_ends, job_events;
    DELETE FROM jobs WHERE state = 'waiting';
    DROP INDEX jobs_to_pick, jobs_running, jobs_of_org_by_state, jobs_of_batch, jobs_unique;
    ALTER TABLE jobs
        DROP CONSTRAINT jobs_state_check,
        DROP COLUMN rank, DROP COLUMN concurrency_key, DROP COLUMN key_limit, DROP COLUMN units,
        DROP COLUMN unique_key, DROP COLUMN unique_while, DROP COLUMN batch_id, DROP COLUMN on_success,
        DROP COLUMN on_failure, DROP COLUMN watched,
        ADD COLUMN dispatched_at timestamptz,
        ADD COLUMN dispatch_seq integer NOT NULL DEFAULT 0,
        ADD CONSTRAINT jobs_state_check
            CHECK (state IN ('scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled'));
    CREATE INDEX jobs_to_pick ON jobs (queue, priority, run_at, id) WHERE state = 'queued' AND dispatched_at IS NULL;
    CREATE INDEX jobs_under_way ON jobs (dispatched_at) WHERE state = 'queued' AND dispatched_at IS NOT NULL;
    CREATE INDEX jobs_running ON jobs (worker_id) WHERE state = 'running';
    CREATE INDEX jobs_of_org_by_state ON jobs (org_id, state, id);
    CREATE TABLE job_events (
        id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        org_id   uuid NOT NULL,
        job_id   uuid NOT NULL,
        at       timestamptz NOT NULL DEFAULT clock_timestamp(),
        type     text NOT NULL,
        attempt  integer NOT NULL,
        data     jsonb NOT NULL DEFAULT '{}'
    );
    CREATE INDEX job_events_of_job ON job_events (job_id, id);
";
