//! Feeds that are polled and the articles found in them.

use sea_orm_migration::prelude::*;

use crate::tenancy::wall;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(UP).await?;
        for table in ["feeds", "articles"] {
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
    CREATE TABLE feeds (
        id               uuid PRIMARY KEY,
        org_id           uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        url              text NOT NULL,
        title            text,
        site_url         text,
        etag             text,
        last_modified    text,
        poll_interval_s  integer NOT NULL,
        next_poll_at     timestamptz NOT NULL DEFAULT now(),
        polled_at        timestamptz,
        error            jsonb,
        created_at       timestamptz NOT NULL DEFAULT now(),
        deleted_at       timestamptz
    );
    CREATE UNIQUE INDEX feeds_by_url ON feeds (org_id, url) WHERE deleted_at IS NULL;
    CREATE INDEX feeds_due ON feeds (next_poll_at) WHERE deleted_at IS NULL;

    CREATE TABLE articles (
        id            uuid PRIMARY KEY,
        org_id        uuid NOT NULL,
        feed_id       uuid NOT NULL REFERENCES feeds ON DELETE CASCADE,
        guid          text NOT NULL,
        url           text,
        title         text,
        author        text,
        published_at  timestamptz,
        content_hash  bytea NOT NULL,
        document_id   uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
        created_at    timestamptz NOT NULL DEFAULT now(),
        updated_at    timestamptz NOT NULL DEFAULT now(),
        UNIQUE (feed_id, guid)
    );
    CREATE INDEX articles_of_org ON articles (org_id, id);
";

const DOWN: &str = "DROP TABLE articles, feeds";
