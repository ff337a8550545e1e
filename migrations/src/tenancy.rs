//! The second wall between organizations: row-level security.
//!
//! Every table of tenants has an `org_id` and the policy made by [`wall`]. A transaction says whose it is by
//! `gristmill.org_id`, or that it is the engine's by `gristmill.system`; both settings end with the transaction, and
//! without either nothing is visible. The first wall is the `org_id = …` that every query carries.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr};

/// The role that connections of a superuser step down to, since no policy holds a superuser.
const APPLICATION_ROLE: &str = "gristmill_app";

/// The functions the policies ask. Sub-selects make Postgres ask them once a statement, not once a row.
pub(crate) const FUNCTIONS: &str = "
    CREATE FUNCTION gristmill_org() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
        $$ SELECT nullif(current_setting('gristmill.org_id', true), '')::uuid $$;
    CREATE FUNCTION gristmill_is_system() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
        $$ SELECT coalesce(current_setting('gristmill.system', true), '') = 'on' $$;
";

/// SQL that puts `table` behind the wall; `column` holds the organization's id.
pub(crate) fn wall(table: &str, column: &str) -> String {
    format!(
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
         ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
         CREATE POLICY own_rows ON {table}
             USING ({column} = (SELECT gristmill_org()) OR (SELECT gristmill_is_system()))
             WITH CHECK ({column} = (SELECT gristmill_org()) OR (SELECT gristmill_is_system()));"
    )
}

/// Where the connecting role could walk through the wall (a superuser, as hosting platforms hand out), makes the
/// role that connections step down to and lets it use what is there.
pub(crate) async fn admit_application_role(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    db.execute_unprepared(&format!(
        "DO $$ BEGIN
            IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) THEN
                BEGIN
                    CREATE ROLE {APPLICATION_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS;
                EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
                END;
                -- One that may pass policies without being a superuser must be allowed to step down.
                EXECUTE format('GRANT {APPLICATION_ROLE} TO %I', current_user);
                GRANT USAGE ON SCHEMA public TO {APPLICATION_ROLE};
                GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APPLICATION_ROLE};
                GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {APPLICATION_ROLE};
                GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {APPLICATION_ROLE};
            END IF;
        END $$"
    ))
    .await?;
    Ok(())
}
