//! A database for every test, copied from a template that was migrated once.

use std::time::UNIX_EPOCH;

use gristmill_core::secret::Secret;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

/// Serialises the making of the template between test processes.
const TEMPLATE_LOCK: i64 = 0x7465_6d70_6c61_7465;

/// The URL of a new, migrated, empty database.
pub async fn fresh() -> Secret {
    let server = setting("GRISTMILL_TEST_DATABASE_URL");
    let mut connection = PgConnection::connect(&server).await.expect("the test database server answers");
    let template = template(&mut connection, &server).await;
    let name = format!("test_{}", Uuid::now_v7().simple());
    let make = format!("CREATE DATABASE {name} TEMPLATE {template}");
    connection.execute(sqlx::AssertSqlSafe(make)).await.expect("a test may create its database");
    connection.close().await.unwrap();
    Secret::new(sibling(&server, &name))
}

/// A setting that `bin/test` makes.
///
/// # Panics
/// When it is not there.
#[expect(clippy::disallowed_methods, reason = "what bin/test says comes by the environment")]
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by bin/test"))
}

async fn template(connection: &mut PgConnection, server: &str) -> String {
    // A test binary that was built anew may bring other migrations.
    let built = std::env::current_exe().unwrap().metadata().unwrap().modified().unwrap();
    let name = format!("template_{}", built.duration_since(UNIX_EPOCH).unwrap().as_nanos());
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut *connection).await.unwrap();
    let there = sqlx::query("SELECT count(*) FROM pg_database WHERE datname = $1").bind(&name);
    if there.fetch_one(&mut *connection).await.unwrap().get::<i64, _>(0) == 0 {
        let draft = format!("draft_{}", Uuid::now_v7().simple());
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {draft}"))).await.unwrap();
        gristmill_migrations::migrate(&sibling(server, &draft)).await.expect("the migrations run");
        let rename = format!("ALTER DATABASE {draft} RENAME TO {name}");
        connection.execute(sqlx::AssertSqlSafe(rename)).await.unwrap();
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(TEMPLATE_LOCK).execute(&mut *connection).await.unwrap();
    name
}

/// The URL of another database of the same server.
fn sibling(server: &str, name: &str) -> String {
    let (address, _) = server.rsplit_once('/').expect("a database URL names a database");
    format!("{address}/{name}")
}
