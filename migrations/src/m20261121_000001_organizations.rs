//! Organizations, their API keys, and the answers kept for repeated requests.

use sea_orm_migration::prelude::*;

use crate::tenancy::{FUNCTIONS, wall};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(FUNCTIONS).await?;
        db.execute_unprepared(UP).await?;
        db.execute_unprepared(&wall("organizations", "id")).await?;
        for table in ["api_keys", "idempotency_keys"] {
            db.execute_unprepared(&wall(table, "org_id")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}

const UP: &str = "
    CREATE TABLE organizations (
        id          uuid PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        created_at  timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE api_keys (
        id            uuid PRIMARY KEY,
        org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        name          text NOT NULL,
        scopes        text[] NOT NULL,
        -- SHA-256 of the key; a key is 256 random bits, so nothing slower is needed.
        hash          bytea NOT NULL UNIQUE,
        created_at    timestamptz NOT NULL DEFAULT now(),
        last_used_at  timestamptz,
        revoked_at    timestamptz
    );
    CREATE INDEX api_keys_of_org ON api_keys (org_id, id);

    CREATE TABLE idempotency_keys (
        org_id       uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        key          text NOT NULL,
        -- SHA-256 of method, path and body: the same key with another request is a mistake.
        fingerprint  bytea NOT NULL,
        status       smallint NOT NULL,
        location     text,
        body         jsonb NOT NULL,
        created_at   timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (org_id, key)
    );
    CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
";

const DOWN: &str = "
    DROP TABLE idempotency_keys, api_keys, organizations;
    DROP FUNCTION gristmill_org, gristmill_is_system;
";
