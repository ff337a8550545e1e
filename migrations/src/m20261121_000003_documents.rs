//! Documents, their versions, chunks and embeddings.

use sea_orm_migration::prelude::*;

use crate::tenancy::wall;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(UP).await?;
        for table in ["documents", "document_versions", "chunks", "embeddings"] {
            db.execute_unprepared(&wall(table, "org_id")).await?;
        }
        db.execute_unprepared(FOLLOW_JOB).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}

const UP: &str = "
    CREATE EXTENSION IF NOT EXISTS vector;
    DO $$ BEGIN
        IF (SELECT string_to_array(extversion, '.')::int[] < '{0,8}' FROM pg_extension WHERE extname = 'vector') THEN
            RAISE EXCEPTION 'Gristmill needs pgvector 0.8 or later; run ALTER EXTENSION vector UPDATE after installing it';
        END IF;
    END $$;

    CREATE TABLE documents (
        id                  uuid PRIMARY KEY,
        org_id              uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        external_id         text,
        title               text,
        tags                text[] NOT NULL DEFAULT '{}',
        category            text,
        engagement          text,
        meta                jsonb NOT NULL DEFAULT '{}',
        -- The version that is being made or was made last, and the one that search uses.
        latest_version_id   uuid NOT NULL,
        current_version_id  uuid,
        created_at          timestamptz NOT NULL DEFAULT now(),
        updated_at          timestamptz NOT NULL DEFAULT now(),
        deleted_at          timestamptz
    );
    CREATE INDEX documents_of_org ON documents (org_id, id) WHERE deleted_at IS NULL;
    CREATE UNIQUE INDEX documents_by_external_id ON documents (org_id, external_id)
        WHERE external_id IS NOT NULL AND deleted_at IS NULL;

    CREATE TABLE document_versions (
        id           uuid PRIMARY KEY,
        org_id       uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        document_id  uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
        number       integer NOT NULL,
        status       text NOT NULL CHECK (status IN ('pending', 'ready', 'failed')),
        job_id       uuid NOT NULL,
        -- Where it came from: {type: upload | text | url | feed, …}.
        source       jsonb NOT NULL,
        -- Unknown until a URL has been fetched.
        file_sha256  bytea,
        file_bytes   bigint,
        media_type   text,
        text         text,
        language     text,
        page_count   integer,
        char_count   integer,
        chunk_count  integer,
        warnings     jsonb NOT NULL DEFAULT '[]',
        error        jsonb,
        created_at   timestamptz NOT NULL DEFAULT now(),
        ready_at     timestamptz,
        UNIQUE (document_id, number)
    );
    CREATE INDEX document_versions_of_job ON document_versions (job_id);
    CREATE INDEX document_versions_by_file ON document_versions (org_id, file_sha256);

    CREATE TABLE chunks (
        id            uuid PRIMARY KEY,
        org_id        uuid NOT NULL,
        document_id   uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
        version_id    uuid NOT NULL REFERENCES document_versions ON DELETE CASCADE,
        ordinal       integer NOT NULL,
        text          text NOT NULL,
        heading_path  text[] NOT NULL,
        page_first    integer,
        page_last     integer,
        -- Offsets into the version's text, in Unicode scalar values.
        start_char    integer NOT NULL,
        end_char      integer NOT NULL,
        tokens        integer NOT NULL,
        hash          bytea NOT NULL,
        -- The text search configuration the lexemes were made with.
        text_config   text NOT NULL,
        lexemes       tsvector NOT NULL,
        UNIQUE (version_id, ordinal)
    );
    CREATE INDEX chunks_of_document ON chunks (document_id);
    CREATE INDEX chunks_by_config ON chunks (org_id, text_config);

    -- One row per chunk and model; one partial HNSW index per model, since an index has one dimension.
    CREATE TABLE embeddings (
        chunk_id   uuid NOT NULL REFERENCES chunks ON DELETE CASCADE,
        org_id     uuid NOT NULL,
        model      text NOT NULL,
        embedding  halfvec NOT NULL,
        PRIMARY KEY (chunk_id, model)
    );
    CREATE INDEX embeddings_of_org ON embeddings (org_id, model);
    CREATE INDEX embeddings_local_hashed_ngrams_512 ON embeddings
        USING hnsw ((embedding::halfvec(512)) halfvec_cosine_ops) WHERE model = 'local/hashed-ngrams-512';
";

/// A version follows its job into failure and back, in the same transaction, whoever moved the job: the worker, the
/// sweeper that buried it, an operator who cancelled or retried it. So a document never waits for a job that is over.
const FOLLOW_JOB: &str = "
    CREATE FUNCTION document_version_follows_job() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.state IN ('failed', 'cancelled') THEN
            UPDATE document_versions SET status = 'failed', error = CASE
                   WHEN NEW.state = 'failed' THEN NEW.error
                   ELSE jsonb_build_object('code', 'cancelled', 'message', 'The job that read it was called off.') END
             WHERE job_id = NEW.id AND org_id = NEW.org_id AND status = 'pending';
        ELSE
            UPDATE document_versions SET status = 'pending', error = NULL
             WHERE job_id = NEW.id AND org_id = NEW.org_id AND status = 'failed';
        END IF;
        RETURN NULL;
    END $$;

    CREATE TRIGGER document_version_follows_job AFTER UPDATE OF state ON jobs FOR EACH ROW
        WHEN (NEW.kind = 'document.ingest' AND OLD.state IS DISTINCT FROM NEW.state
              AND (NEW.state IN ('failed', 'cancelled') OR OLD.state IN ('failed', 'cancelled')))
        EXECUTE FUNCTION document_version_follows_job();
";

const DOWN: &str = "
    DROP TRIGGER document_version_follows_job ON jobs;
    DROP FUNCTION document_version_follows_job;
    DROP TABLE embeddings, chunks, document_versions, documents;
";
