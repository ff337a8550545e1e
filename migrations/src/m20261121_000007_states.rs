//! A job's state moves as the engine's table of states says, whoever moves it; and Postgres cleans up after jobs sooner.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(UP).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}

// The same table as `State::after` of the engine; a test compares the two. Statements that move many jobs at once name
// their states in SQL, so this is where a mistake in one of them ends. The condition alone is evaluated per row: a
// function is called only to refuse.
const UP: &str = "
    CREATE FUNCTION job_may_not_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a job cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END $$;
    CREATE TRIGGER job_may_not_move AFTER UPDATE OF state ON jobs FOR EACH ROW
        WHEN (OLD.state <> NEW.state AND NOT CASE OLD.state
            WHEN 'queued' THEN NEW.state IN ('running', 'cancelled')
            WHEN 'running' THEN NEW.state IN ('succeeded', 'scheduled', 'failed', 'queued', 'cancelled')
            WHEN 'waiting' THEN NEW.state IN ('scheduled', 'queued', 'cancelled')
            WHEN 'scheduled' THEN NEW.state IN ('queued', 'cancelled')
            WHEN 'failed' THEN NEW.state = 'queued'
            WHEN 'cancelled' THEN NEW.state IN ('queued', 'waiting')
            ELSE false END)
        EXECUTE FUNCTION job_may_not_move();

    -- Jobs that were claimed leave dead entries at the front of the index that jobs are picked by. By default they stay
    -- until a fifth of the table is dead, which may be millions.
    ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);
";

const DOWN: &str = "
    ALTER TABLE jobs RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
    DROP TRIGGER job_may_not_move ON jobs;
    DROP FUNCTION job_may_not_move;
";
