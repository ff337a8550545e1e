//! Connections and the kinds of transaction.

use std::time::Duration;

use gristmill_core::{ids::OrgId, secret::Secret};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, FromQueryResult,
    IsolationLevel, SqlxPostgresConnector, Statement, TransactionTrait, Value,
};
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::error::{Result, StoreError};

/// Connections to Gristmill's database. Cheap to clone.
///
/// The engine has connections of its own, which see every organization: so what it asks all the time needs no
/// transaction block to say who it is, one statement is one round trip, and requests never wait for each other's turn.
#[derive(Debug, Clone)]
pub struct Db {
    pool: DatabaseConnection,
    system: DatabaseConnection,
    max_connections: u32,
    options: PgConnectOptions,
}

/// A transaction that sees and touches one organization only. Dropped without [`OrgTx::commit`], it is rolled back.
#[derive(Debug)]
pub struct OrgTx {
    tx: DatabaseTransaction,
    org: OrgId,
}

/// A transaction of the system itself, which sees every organization: the engine's picking, claiming and sweeping,
/// and finding out whose an API key is. Code that serves a request or runs a job has no business with it.
#[derive(Debug)]
pub struct SystemTx {
    tx: DatabaseTransaction,
}

/// The same for a statement that is a transaction by itself.
#[derive(Debug, Clone, Copy)]
pub struct SystemNow<'db> {
    pool: &'db DatabaseConnection,
}

/// Whose the transaction is, and how long it waits for a row that another one holds: a caller that waits holds a
/// connection that others need.
const ENTER: &str = "SELECT set_config('gristmill.org_id', $1, true), set_config('lock_timeout', '5s', true)";

/// A process that is frozen or cut off in the middle of a transaction holds what it locked: a job's row, or the right to
/// dispatch. Postgres ends such a transaction after a while, so that others go on; whoever comes back finds it rolled
/// back. Our own transactions wait for nothing but the database between two statements.
///
/// The engine gives up waiting for an answer after ten seconds (see its coalescer); Postgres must have given up before, or
/// a claim would be made that nobody knows of.
const SYSTEM: &str = "SET gristmill.system = 'on'; SET idle_in_transaction_session_timeout = '5s';
    SET statement_timeout = '8s'";
/// The same for requests and jobs, whose finishing transactions may have something to compute.
const REQUESTS: &str = "SET idle_in_transaction_session_timeout = '20s'; SET statement_timeout = '60s'";

/// Connections of a superuser step down to the role that policies hold (see the migrations).
const STEP_DOWN: &str = "
    DO $$ BEGIN
        IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
           AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'gristmill_app') THEN
            SET ROLE gristmill_app;
        END IF;
    END $$";

impl Db {
    /// Opens at most `max_connections` to the migrated database at `url`.
    ///
    /// # Errors
    /// When the URL is no Postgres URL, the database cannot be reached within five seconds, or it was never migrated.
    pub async fn connect(url: &Secret, max_connections: u32) -> Result<Self> {
        let options: PgConnectOptions = url.reveal().parse().map_err(connection_error)?;
        let options = options.application_name("gristmill");
        let for_system = (max_connections / 3).clamp(1, 8);
        let for_requests = max_connections.saturating_sub(for_system).max(1);
        let pool = open(options.clone(), for_requests, REQUESTS).await?;
        let system = open(options.clone(), for_system, SYSTEM).await?;
        let db = Self { pool, system, max_connections, options };
        db.refuse_to_pass_walls().await?;
        Ok(db)
    }

    /// Begins a transaction of organization `org`.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn org(&self, org: OrgId) -> Result<OrgTx> {
        let tx = self.begin(&self.pool).await?;
        tx.execute_raw(sql(ENTER, [org.uuid().to_string().into()])).await?;
        Ok(OrgTx { tx, org })
    }

    /// Begins a transaction of organization `org` that changes nothing and sees the data of one moment throughout, however
    /// many questions it asks.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn org_reading(&self, org: OrgId) -> Result<OrgTx> {
        let tx = self.begin_as(&self.pool, Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly)).await?;
        tx.execute_raw(sql(ENTER, [org.uuid().to_string().into()])).await?;
        Ok(OrgTx { tx, org })
    }

    /// Runs statements that define what data there is, such as an index's making, on a connection of their own, outside of
    /// any transaction, as the role that connects: the one that owns the tables. They may take long.
    ///
    /// # Errors
    /// What the database said to the first that it refused; those before it stay done.
    pub async fn define(&self, statements: &[&str]) -> Result<()> {
        let mut connection = PgConnection::connect_with(&self.options).await.map_err(connection_error)?;
        for statement in statements {
            let done = connection.execute(AssertSqlSafe((*statement).to_owned())).await;
            done.map_err(|error| sea_orm::DbErr::Exec(sea_orm::RuntimeErr::SqlxError(error.into())))?;
        }
        connection.close().await.map_err(connection_error)
    }

    /// Begins a transaction of the system.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn system(&self) -> Result<SystemTx> {
        Ok(SystemTx { tx: self.begin(&self.system).await? })
    }

    /// Asks single statements as the system, each a transaction by itself: one round trip.
    pub fn now(&self) -> SystemNow<'_> {
        SystemNow { pool: &self.system }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<()> {
        self.pool.execute_unprepared("SELECT 1").await?;
        Ok(())
    }

    /// The pool itself, for the migrations' own bookkeeping.
    pub fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    /// Closes every connection, waiting for those in use.
    ///
    /// # Errors
    /// Never by what is known of the driver; its signature allows it.
    pub async fn close(&self) -> Result<()> {
        self.system.clone().close().await?;
        self.pool.clone().close().await?;
        Ok(())
    }

    /// A role that no policy holds must not serve tenants. That it could not step down means that nobody migrated yet.
    async fn refuse_to_pass_walls(&self) -> Result<()> {
        #[derive(FromQueryResult)]
        struct Role {
            free: bool,
        }
        let asked = "SELECT rolsuper OR rolbypassrls AS free FROM pg_roles WHERE rolname = current_user";
        let role = Role::find_by_statement(sql(asked, [])).one(&self.pool).await?;
        if role.is_none_or(|role| role.free) {
            return Err(StoreError::missing(
                "the database was never migrated (run `gristmill migrate`): the role gristmill_app",
            ));
        }
        Ok(())
    }

    /// Connections that the server closed meanwhile (it restarted, say) show here, each once.
    async fn begin(&self, pool: &DatabaseConnection) -> Result<DatabaseTransaction> {
        self.begin_as(pool, None, None).await
    }

    async fn begin_as(
        &self,
        pool: &DatabaseConnection,
        isolation: Option<IsolationLevel>,
        access: Option<AccessMode>,
    ) -> Result<DatabaseTransaction> {
        for _ in 0..self.max_connections {
            match pool.begin_with_config(isolation, access).await.map_err(StoreError::from) {
                Err(error) if error.is_broken_connection() => {}
                other => return other,
            }
        }
        Ok(pool.begin_with_config(isolation, access).await?)
    }
}

/// Opens a pool whose connections begin with `greeting`.
async fn open(options: PgConnectOptions, most: u32, greeting: &'static str) -> Result<DatabaseConnection> {
    let pool = PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(Duration::from_secs(5))
        .idle_timeout(Duration::from_secs(300))
        // A ping before every use would be a round trip more per transaction; a broken connection shows at BEGIN.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(STEP_DOWN).await?;
                connection.execute(greeting).await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(connection_error)?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

impl OrgTx {
    /// Whose transaction this is.
    pub fn org(&self) -> OrgId {
        self.org
    }

    /// Makes what was written last.
    ///
    /// # Errors
    /// When the database could not say that it did; the writes may or may not have been kept.
    pub async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}

impl SystemTx {
    /// Makes what was written last.
    ///
    /// # Errors
    /// When the database could not say that it did; the writes may or may not have been kept.
    pub async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}

/// What every kind of transaction can be asked.
pub trait Tx: Send + Sync {
    /// The connection under it.
    fn raw(&self) -> &impl ConnectionTrait;

    /// Runs a statement and says how many rows it touched.
    ///
    /// # Errors
    /// What the database said.
    fn execute(&self, statement: Statement) -> impl Future<Output = Result<u64>> + Send {
        async move { Ok(self.raw().execute_raw(statement).await?.rows_affected()) }
    }

    /// Every row of a query.
    ///
    /// # Errors
    /// What the database said, or a row that is not a `T`.
    fn all<T: FromQueryResult + Send + Sync>(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<Vec<T>>> + Send {
        async move { Ok(T::find_by_statement(statement).all(self.raw()).await?) }
    }

    /// The first row of a query, if it has one.
    ///
    /// # Errors
    /// What the database said, or a row that is not a `T`.
    fn one<T: FromQueryResult + Send + Sync>(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<Option<T>>> + Send {
        async move { Ok(T::find_by_statement(statement).one(self.raw()).await?) }
    }
}

impl Tx for OrgTx {
    fn raw(&self) -> &impl ConnectionTrait {
        &self.tx
    }
}

impl Tx for SystemTx {
    fn raw(&self) -> &impl ConnectionTrait {
        &self.tx
    }
}

impl Tx for SystemNow<'_> {
    fn raw(&self) -> &impl ConnectionTrait {
        self.pool
    }
}

/// A Postgres statement with its values, `$1` first.
pub fn sql(text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DatabaseBackend::Postgres, text, values)
}

fn connection_error(error: sqlx::Error) -> StoreError {
    sea_orm::DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())).into()
}
