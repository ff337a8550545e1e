//! Search: postings for BM25, labels that filters find by equality, embedding spaces, what was embedded before, and what
//! was searched for.

use sea_orm_migration::prelude::*;

use crate::tenancy::wall;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(SEE_ALL).await?;
        for part in [POSTINGS, KEEP_POSTINGS, LABELS, KEEP_LABELS, SPACES, CACHE, HISTORY, ERASURES] {
            db.execute_unprepared(part).await?;
        }
        for table in [
            "embeddings",
            "postings",
            "posting_totals",
            "posting_removals",
            "document_labels",
            "embedding_spaces",
            "embedding_cache",
            "embedding_uses",
            "search_history",
            "erasures",
        ] {
            db.execute_unprepared(&wall(table, "org_id")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(SEE_ALL).await?;
        db.execute_unprepared(DOWN).await?;
        Ok(())
    }
}

/// Rows that are there already are carried over, whoever they belong to; the walls hold for a table's owner, too.
const SEE_ALL: &str = "SELECT set_config('gristmill.system', 'on', true)";

/// Which chunks hold a term, and how often: rows of postings that queries find by plain equality. Behind row-level
/// security an index on `lexemes` would never be used, because `@@` is not leakproof.
///
/// A posting is eight bytes: how far the chunk's number lies behind `first` (four), how often the chunk has the term (two),
/// and how long the chunk is in terms (two); big-endian, as `int4send` and `int2send` write them.
const POSTINGS: &str = "
    ALTER TABLE chunks
        ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY,
        -- How many terms it has, counted as often as they occur; for BM25.
        ADD COLUMN terms smallint NOT NULL DEFAULT 0;
    UPDATE chunks SET terms = (
        SELECT least(coalesce(sum(greatest(cardinality(t.positions), 1)), 0), 32767) FROM unnest(lexemes) AS t);
    CREATE UNIQUE INDEX chunks_by_number ON chunks (org_id, number);
    -- The totals tell which configurations there are; and a planner that knows little would walk this for every document.
    DROP INDEX chunks_by_config;
    -- Which chunks a filter leaves is answered from the index alone.
    DROP INDEX chunks_of_document;
    CREATE INDEX chunks_of_document ON chunks (document_id) INCLUDE (version_id, number, id, org_id);

    CREATE TABLE postings (
        org_id     uuid NOT NULL,
        config     text COLLATE \"C\" NOT NULL,
        term       text COLLATE \"C\" NOT NULL,
        -- The numbers of the first and the last chunk in this row.
        first      bigint NOT NULL,
        last       bigint NOT NULL,
        entries    integer NOT NULL,
        -- Bounds for what any of its chunks can score.
        most       smallint NOT NULL,
        shortest   smallint NOT NULL,
        -- As an ingest wrote it, not gathered with its neighbours yet.
        fresh      boolean NOT NULL,
        data       bytea NOT NULL,
        -- What says which rows need not be read stands in the index itself.
        PRIMARY KEY (org_id, config, term, first) INCLUDE (last, entries, most, shortest)
    ) WITH (
        -- Every row is written twice, by its ingest and when it is gathered: what the first left is to go soon.
        autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000
    );
    CREATE INDEX postings_fresh ON postings (org_id, config, term) WHERE fresh;

    -- How many chunks there are and how many terms they have, as sums of what was added and removed: a row that every
    -- ingest changed would make them wait for one another.
    CREATE TABLE posting_totals (
        id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        org_id  uuid NOT NULL,
        config  text COLLATE \"C\" NOT NULL,
        chunks  bigint NOT NULL,
        terms   bigint NOT NULL
    );
    CREATE INDEX posting_totals_of_org ON posting_totals (org_id, config);

    -- Chunks that are gone and whose postings are still to be taken out.
    CREATE TABLE posting_removals (
        number  bigint PRIMARY KEY,
        org_id  uuid NOT NULL,
        config  text COLLATE \"C\" NOT NULL,
        terms   text[] NOT NULL
    );
    CREATE INDEX posting_removals_of_org ON posting_removals (org_id, number);

    INSERT INTO postings (org_id, config, term, first, last, entries, most, shortest, fresh, data)
    SELECT org_id, text_config, term, min(number), max(number), count(*), max(times), min(terms), true,
           string_agg(int4send((number - base)::int) || int2send(times) || int2send(terms), ''::bytea ORDER BY number)
    FROM (
        SELECT c.org_id, c.text_config, t.lexeme AS term, c.number, c.terms,
               greatest(cardinality(t.positions), 1)::smallint AS times,
               min(c.number) OVER (PARTITION BY c.org_id, c.text_config, t.lexeme, c.number / 1000) AS base
        FROM chunks c CROSS JOIN LATERAL unnest(c.lexemes) AS t) AS found
    GROUP BY org_id, text_config, term, base;

    INSERT INTO posting_totals (org_id, config, chunks, terms)
    SELECT org_id, text_config, count(*), sum(terms) FROM chunks GROUP BY org_id, text_config;
";

/// However chunks go (a new version, a purge, a document's deletion by cascade), the totals and the postings learn of it.
const KEEP_POSTINGS: &str = "
    CREATE FUNCTION chunks_leave_postings() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO posting_removals (number, org_id, config, terms)
            SELECT number, org_id, text_config, tsvector_to_array(lexemes) FROM gone;
        INSERT INTO posting_totals (org_id, config, chunks, terms)
            SELECT org_id, text_config, -count(*), -sum(terms) FROM gone GROUP BY org_id, text_config;
        RETURN NULL;
    END $$;

    CREATE TRIGGER chunks_leave_postings AFTER DELETE ON chunks REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION chunks_leave_postings();
";

/// What filters ask for, found by equality: `@>` on an array is not leakproof either.
const LABELS: &str = "
    CREATE TABLE document_labels (
        org_id       uuid NOT NULL,
        -- `tag`, `category` or `engagement`, a colon, and the value.
        label        text COLLATE \"C\" NOT NULL,
        document_id  uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
        PRIMARY KEY (org_id, label, document_id)
    );
    CREATE INDEX document_labels_of_document ON document_labels (document_id);

    INSERT INTO document_labels (org_id, label, document_id)
    SELECT org_id, 'tag:' || unnest(tags), id FROM documents
    UNION SELECT org_id, 'category:' || category, id FROM documents WHERE category IS NOT NULL
    UNION SELECT org_id, 'engagement:' || engagement, id FROM documents WHERE engagement IS NOT NULL;
";

const KEEP_LABELS: &str = "
    CREATE FUNCTION document_is_labelled() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            DELETE FROM document_labels WHERE document_id = NEW.id AND org_id = NEW.org_id;
        END IF;
        INSERT INTO document_labels (org_id, label, document_id)
        SELECT NEW.org_id, 'tag:' || tag, NEW.id FROM unnest(NEW.tags) AS tag
        UNION SELECT NEW.org_id, 'category:' || NEW.category, NEW.id WHERE NEW.category IS NOT NULL
        UNION SELECT NEW.org_id, 'engagement:' || NEW.engagement, NEW.id WHERE NEW.engagement IS NOT NULL;
        RETURN NULL;
    END $$;

    CREATE TRIGGER document_is_labelled AFTER INSERT ON documents
        FOR EACH ROW EXECUTE FUNCTION document_is_labelled();
    CREATE TRIGGER document_is_labelled_anew AFTER UPDATE OF tags, category, engagement ON documents FOR EACH ROW
        WHEN (OLD.tags <> NEW.tags OR OLD.category IS DISTINCT FROM NEW.category
              OR OLD.engagement IS DISTINCT FROM NEW.engagement)
        EXECUTE FUNCTION document_is_labelled();
";

/// An organization has one space that search uses, and may have others: one that is being built, or the one before.
const SPACES: &str = "
    CREATE TABLE embedding_spaces (
        id          uuid PRIMARY KEY,
        org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        model       text NOT NULL,
        dimensions  integer NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
        chunker     integer NOT NULL,
        status      text NOT NULL CHECK (status IN ('building', 'ready', 'failed')),
        current     boolean NOT NULL,
        -- The job that builds it or built it last.
        job_id      uuid,
        -- When its HNSW index was made; before, its vectors are compared one by one.
        indexed_at  timestamptz,
        created_at  timestamptz NOT NULL DEFAULT now(),
        ready_at    timestamptz
    );
    CREATE UNIQUE INDEX embedding_spaces_current ON embedding_spaces (org_id) WHERE current;
    CREATE INDEX embedding_spaces_of_org ON embedding_spaces (org_id, id);
    CREATE INDEX embedding_spaces_of_job ON embedding_spaces (job_id);

    INSERT INTO embedding_spaces (id, org_id, model, dimensions, chunker, status, current, ready_at)
    SELECT gen_random_uuid(), org_id, model, max(vector_dims(embedding)), 1, 'ready',
           row_number() OVER (PARTITION BY org_id ORDER BY count(*) DESC) = 1, now()
    FROM embeddings GROUP BY org_id, model;

    -- A new table instead of changing every row: their order on disk is that of the chunks again.
    ALTER TABLE embeddings RENAME TO embeddings_by_model;
    ALTER TABLE embeddings_by_model RENAME CONSTRAINT embeddings_pkey TO embeddings_by_model_pkey;
    CREATE TABLE embeddings (
        space_id   uuid NOT NULL REFERENCES embedding_spaces ON DELETE CASCADE,
        chunk_id   uuid NOT NULL REFERENCES chunks ON DELETE CASCADE,
        org_id     uuid NOT NULL,
        embedding  halfvec NOT NULL,
        PRIMARY KEY (space_id, chunk_id)
    );
    -- Beside its row, not in another table: comparing many vectors one by one costs a fifth.
    ALTER TABLE embeddings ALTER COLUMN embedding SET STORAGE MAIN;
    INSERT INTO embeddings (space_id, chunk_id, org_id, embedding)
        SELECT s.id, e.chunk_id, e.org_id, e.embedding
        FROM embeddings_by_model e JOIN embedding_spaces s ON s.org_id = e.org_id AND s.model = e.model;
    DROP TABLE embeddings_by_model;
    CREATE INDEX embeddings_of_chunk ON embeddings (chunk_id);

    -- A space follows its job into failure, whoever moved the job; see document_version_follows_job.
    CREATE FUNCTION embedding_space_follows_job() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE embedding_spaces SET status = CASE WHEN NEW.state IN ('failed', 'cancelled') THEN 'failed' ELSE 'building' END
         WHERE job_id = NEW.id AND org_id = NEW.org_id AND NOT current AND status <> 'ready';
        RETURN NULL;
    END $$;

    CREATE TRIGGER embedding_space_follows_job AFTER UPDATE OF state ON jobs FOR EACH ROW
        WHEN (NEW.kind = 'embeddings.build' AND OLD.state IS DISTINCT FROM NEW.state
              AND (NEW.state IN ('failed', 'cancelled') OR OLD.state IN ('failed', 'cancelled')))
        EXECUTE FUNCTION embedding_space_follows_job();
";

/// What was embedded before is not paid for again: neither by another document nor by the same after a crash. Who uses
/// an entry is kept beside it, so that a purge knows which entries nobody else has.
const CACHE: &str = "
    CREATE TABLE embedding_cache (
        org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        model       text COLLATE \"C\" NOT NULL,
        dimensions  integer NOT NULL,
        -- SHA-256 of the text as the model was given it.
        text_hash   bytea NOT NULL,
        embedding   halfvec NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (org_id, model, dimensions, text_hash)
    );
    CREATE INDEX embedding_cache_by_hash ON embedding_cache (org_id, text_hash);

    CREATE TABLE embedding_uses (
        org_id       uuid NOT NULL,
        text_hash    bytea NOT NULL,
        document_id  uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
        PRIMARY KEY (org_id, text_hash, document_id)
    );
    CREATE INDEX embedding_uses_of_document ON embedding_uses (document_id);
";

const HISTORY: &str = "
    ALTER TABLE organizations ADD COLUMN search_history boolean NOT NULL DEFAULT true;

    CREATE TABLE search_history (
        id          uuid PRIMARY KEY,
        org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        query       text NOT NULL,
        mode        text NOT NULL,
        hits        integer NOT NULL,
        took_ms     integer NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX search_history_of_org ON search_history (org_id, id);
";

/// Documents that were purged and of which traces may be left: postings, jobs that were about them. The row goes last.
const ERASURES: &str = "
    CREATE TABLE erasures (
        id           uuid PRIMARY KEY,
        org_id       uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
        document_id  uuid NOT NULL,
        created_at   timestamptz NOT NULL DEFAULT now()
    );
";

const DOWN: &str = "
    DROP TABLE erasures, search_history;
    ALTER TABLE organizations DROP COLUMN search_history;
    DROP TABLE embedding_uses, embedding_cache;

    DROP TRIGGER embedding_space_follows_job ON jobs;
    DROP FUNCTION embedding_space_follows_job;
    ALTER TABLE embeddings RENAME TO embeddings_by_space;
    ALTER TABLE embeddings_by_space RENAME CONSTRAINT embeddings_pkey TO embeddings_by_space_pkey;
    CREATE TABLE embeddings (
        chunk_id   uuid NOT NULL REFERENCES chunks ON DELETE CASCADE,
        org_id     uuid NOT NULL,
        model      text NOT NULL,
        embedding  halfvec NOT NULL,
        PRIMARY KEY (chunk_id, model)
    );
    INSERT INTO embeddings (chunk_id, org_id, model, embedding)
        SELECT DISTINCT ON (e.chunk_id, s.model) e.chunk_id, e.org_id, s.model, e.embedding
        FROM embeddings_by_space e JOIN embedding_spaces s ON s.id = e.space_id
        ORDER BY e.chunk_id, s.model, s.current DESC;
    DROP TABLE embeddings_by_space, embedding_spaces;
    CREATE INDEX embeddings_of_org ON embeddings (org_id, model);
    CREATE INDEX embeddings_local_hashed_ngrams_512 ON embeddings
        USING hnsw ((embedding::halfvec(512)) halfvec_cosine_ops) WHERE model = 'local/hashed-ngrams-512';
    ALTER TABLE embeddings ENABLE ROW LEVEL SECURITY;
    ALTER TABLE embeddings FORCE ROW LEVEL SECURITY;
    CREATE POLICY own_rows ON embeddings
        USING (org_id = (SELECT gristmill_org()) OR (SELECT gristmill_is_system()))
        WITH CHECK (org_id = (SELECT gristmill_org()) OR (SELECT gristmill_is_system()));

    DROP TRIGGER document_is_labelled_anew ON documents;
    DROP TRIGGER document_is_labelled ON documents;
    DROP FUNCTION document_is_labelled;
    DROP TABLE document_labels;

    DROP TRIGGER chunks_leave_postings ON chunks;
    DROP FUNCTION chunks_leave_postings;
    DROP TABLE posting_removals, posting_totals, postings;
    ALTER TABLE chunks DROP COLUMN number, DROP COLUMN terms;
    CREATE INDEX chunks_of_document ON chunks (document_id);
    CREATE INDEX chunks_by_config ON chunks (org_id, text_config);
";
