//! Role, database and extension; and knocking until the server answers.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Error, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{PostgresError, home::Secrets};

/// The role that Gristmill works as: no superuser, and subject to row-level security.
pub(super) const ROLE: &str = "gristmill";
/// The database it owns.
pub(super) const DATABASE: &str = "gristmill";
const SUPERUSER: &str = "postgres";
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// SQLSTATE `cannot_connect_now`: starting up, shutting down or recovering.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// What came of one attempt to connect.
pub(super) enum Knock {
    Open,
    /// Alive, but not ready.
    Recovering,
    /// Nobody there yet.
    Silent,
    /// An answer that waiting will not change.
    Refused(Error),
}

/// Tries to connect once, as superuser: that role is there from the beginning.
pub(super) async fn knock(port: u16, secrets: &Secrets) -> Knock {
    match connect(port, SUPERUSER, &secrets.superuser, "postgres").await {
        Ok(connection) => match connection.close().await {
            Ok(()) => Knock::Open,
            Err(_) => Knock::Silent,
        },
        Err(Error::Database(error)) if error.code().as_deref() == Some(CANNOT_CONNECT_NOW) => Knock::Recovering,
        Err(error @ Error::Database(_)) => Knock::Refused(error),
        Err(_) => Knock::Silent,
    }
}

/// Makes what is missing. Every step may be repeated, so a start that was interrupted is completed by the next one.
pub(super) async fn complete(port: u16, secrets: &Secrets) -> Result<(), PostgresError> {
    let failed = |action| move |source| PostgresError::SetUp { action, source };
    let open = async |database: &str| connect(port, SUPERUSER, &secrets.superuser, database).await;

    // Every database made from now on has the extension, also those that tests make.
    let mut template = open("template1").await.map_err(failed("connecting to template1"))?;
    extend(&mut template).await.map_err(failed("adding the extension vector to template1"))?;
    template.close().await.map_err(failed("leaving template1"))?;

    let mut postgres = open("postgres").await.map_err(failed("connecting as superuser"))?;
    make_role(&mut postgres, &secrets.role).await.map_err(failed("making the role gristmill"))?;
    make_database(&mut postgres).await.map_err(failed("making the database gristmill"))?;
    postgres.close().await.map_err(failed("disconnecting"))?;

    let mut database = open(DATABASE).await.map_err(failed("connecting to the database gristmill"))?;
    extend(&mut database).await.map_err(failed("adding the extension vector"))?;
    database.close().await.map_err(failed("disconnecting"))
}

/// Whether the role can work in its database and the extension is as new as the installation's.
pub(super) async fn is_complete(port: u16, secrets: &Secrets) -> bool {
    let Ok(mut connection) = connect(port, ROLE, &secrets.role, DATABASE).await else { return false };
    let newest: Result<bool, Error> = sqlx::query_scalar(
        "SELECT coalesce(installed_version = default_version, false) FROM pg_available_extensions WHERE name = 'vector'",
    )
    .fetch_one(&mut connection)
    .await;
    matches!((newest, connection.close().await), (Ok(true), Ok(())))
}

async fn extend(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS vector; ALTER EXTENSION vector UPDATE").execute(connection).await?;
    Ok(())
}

async fn make_role(connection: &mut PgConnection, password: &str) -> Result<(), Error> {
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(ROLE)
        .fetch_one(&mut *connection)
        .await?;
    let verb = if there { "ALTER" } else { "CREATE" };
    // A utility statement takes no parameters. The password is alphanumeric: see `home::secret`.
    let sql = format!(
        "{verb} ROLE {ROLE} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION CREATEDB PASSWORD '{password}'"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

async fn make_database(connection: &mut PgConnection) -> Result<(), Error> {
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        let sql = format!("CREATE DATABASE {DATABASE} OWNER {ROLE}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    }
    Ok(())
}

async fn connect(port: u16, role: &str, password: &str, database: &str) -> Result<PgConnection, Error> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(role)
        .password(password)
        .database(database)
        .application_name("gristmill-setup")
        // The server has no certificate, and the way to it is inside the machine.
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging();
    match tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected,
        Err(_) => Err(Error::PoolTimedOut),
    }
}
