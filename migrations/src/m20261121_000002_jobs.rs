//! Jobs, their history, the kinds that exist and the workers that run them.

use sea_orm_migration::prelude::*;

use crate::tenancy::wall;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(UP).await?;
        for table in ["jobs", "job_events"] {
            db.execute_unprepared(&wall(table, "org_id")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}

// `jobs` and `job_events` have no foreign keys: each would lock a parent row on every insert of the hottest tables.
const UP: &str = "
    CREATE TABLE job_kinds (
        kind          text PRIMARY KEY,
        about         text NOT NULL,
        queue         text NOT NULL,
        max_attempts  integer NOT NULL,
        timeout_s     integer NOT NULL,
        args_schema   jsonb NOT NULL,
        updated_at    timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE jobs (
        id                   uuid PRIMARY KEY,
        org_id               uuid NOT NULL,
        kind                 text NOT NULL,
        queue                text NOT NULL,
        priority             smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
        state                text NOT NULL
            CHECK (state IN ('scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled')),
        args                 jsonb NOT NULL,
        tags                 text[] NOT NULL DEFAULT '{}',
        -- The id of what the job is about, such as doc_01h….
        subject              text,
        attempt              integer NOT NULL DEFAULT 0,
        max_attempts         integer NOT NULL CHECK (max_attempts > 0),
        timeout_s            integer NOT NULL CHECK (timeout_s > 0),
        run_at               timestamptz NOT NULL DEFAULT now(),
        dispatched_at        timestamptz,
        dispatch_seq         integer NOT NULL DEFAULT 0,
        worker_id            uuid,
        -- Goes up with every claim; what an earlier run still wants to write is refused by it.
        fence                bigint NOT NULL DEFAULT 0,
        lease_until          timestamptz,
        cancel_requested_at  timestamptz,
        progress             jsonb,
        result               jsonb,
        error                jsonb,
        cost_nusd            bigint NOT NULL DEFAULT 0,
        request_id           text,
        created_at           timestamptz NOT NULL DEFAULT now(),
        started_at           timestamptz,
        finished_at          timestamptz
    ) WITH (fillfactor = 80);

    -- What may be dispatched, in the order it is picked.
    CREATE INDEX jobs_to_pick ON jobs (queue, priority, run_at, id) WHERE state = 'queued' AND dispatched_at IS NULL;
    -- What was dispatched and not claimed yet: what a lost message would leave behind.
    CREATE INDEX jobs_under_way ON jobs (dispatched_at) WHERE state = 'queued' AND dispatched_at IS NOT NULL;
    CREATE INDEX jobs_due ON jobs (run_at) WHERE state = 'scheduled';
    -- Without lease_until in the index a heartbeat touches no index at all.
    CREATE INDEX jobs_running ON jobs (worker_id) WHERE state = 'running';
    CREATE INDEX jobs_of_org ON jobs (org_id, id);
    CREATE INDEX jobs_of_org_by_state ON jobs (org_id, state, id);
    CREATE INDEX jobs_of_subject ON jobs (org_id, subject, id) WHERE subject IS NOT NULL;

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

    CREATE TABLE workers (
        id          uuid PRIMARY KEY,
        host        text NOT NULL,
        pid         integer NOT NULL,
        version     text NOT NULL,
        -- Queue to slots.
        slots       jsonb NOT NULL,
        started_at  timestamptz NOT NULL DEFAULT now(),
        seen_at     timestamptz NOT NULL DEFAULT now()
    );
";

const DOWN: &str = "DROP TABLE workers, job_events, jobs, job_kinds";
