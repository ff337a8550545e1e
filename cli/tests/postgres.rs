//! The private Postgres: what survives what.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use anyhow::{Context, Result, ensure};
use gristmill_cli::postgres::{Options, PostgresError, PrivatePostgres, Progress};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// A directory that the server's user can pass through, should the tests run as root.
fn directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("gristmill-test-").permissions(Permissions::from_mode(0o711)).tempdir()?)
}

/// Options as the command reads them, with data that stays.
#[expect(clippy::disallowed_methods, reason = "a test is an entry point")]
fn options(dir: &Path) -> Options {
    Options::new(dir.join("postgres"), |name| std::env::var(name).ok())
}

async fn start(dir: &TempDir) -> Result<PrivatePostgres, PostgresError> {
    PrivatePostgres::start(&options(dir.path()), |_| {}).await
}

async fn connect(url: &str) -> Result<PgConnection> {
    Ok(PgConnection::connect(url).await?)
}

async fn write_note(url: &str, note: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS notes (note text NOT NULL)").execute(&mut connection).await?;
    sqlx::query("INSERT INTO notes VALUES ($1)").bind(note).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

async fn notes(url: &str) -> Result<Vec<String>> {
    let mut connection = connect(url).await?;
    Ok(sqlx::query_scalar("SELECT note FROM notes ORDER BY note").fetch_all(&mut connection).await?)
}

/// `gristmill postgres --data-dir …` in a process of its own, and the URL it printed.
fn owner(dir: &TempDir) -> Result<(Child, String)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .arg("postgres")
        .arg("--data-dir")
        .arg(options(dir.path()).data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut url = String::new();
    BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut url)?;
    ensure!(url.starts_with("postgres://"), "no URL but {url:?}; {:?}", child.wait());
    Ok((child, url.trim().to_owned()))
}

fn postmaster(dir: &TempDir) -> Result<Pid> {
    let text = fs::read_to_string(options(dir.path()).data_dir.join("cluster/postmaster.pid"))?;
    Pid::from_raw(text.lines().next().context("a line")?.parse()?).context("a process number")
}

/// The parent of a process and its other children.
fn guard_of(server: Pid) -> Result<Vec<Pid>> {
    let parent = |pid: i32| -> Option<i32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    let shell = parent(server.as_raw_pid()).context("a parent")?;
    let mut guard = vec![shell];
    for entry in fs::read_dir("/proc")? {
        if let Ok(pid) = entry?.file_name().to_string_lossy().parse::<i32>()
            && pid != server.as_raw_pid()
            && parent(pid) == Some(shell)
        {
            guard.push(pid);
        }
    }
    guard.into_iter().map(|pid| Pid::from_raw(pid).context("a process number")).collect()
}

#[tokio::test]
async fn data_outlives_a_restart() {
    let dir = directory().unwrap();
    let first = start(&dir).await.unwrap();
    write_note(first.url(), "kept").await.unwrap();
    first.stop().await.unwrap();
    let second = start(&dir).await.unwrap();
    assert_eq!(notes(second.url()).await.unwrap(), ["kept"]);
    second.stop().await.unwrap();

    // Told to be temporary, it still does not delete what was there before.
    let third = PrivatePostgres::start(&options(dir.path()).temporary(), |_| {}).await.unwrap();
    assert_eq!(notes(third.url()).await.unwrap(), ["kept"]);
    third.stop().await.unwrap();
    assert!(options(dir.path()).data_dir.join("cluster/PG_VERSION").exists());
}

#[tokio::test]
async fn the_role_is_no_superuser_and_can_make_databases_with_vectors() {
    let dir = directory().unwrap();
    let mut options = options(dir.path()).temporary();
    options.data_dir = dir.path().join("gone-afterwards");
    let postgres = PrivatePostgres::start(&options, |_| {}).await.unwrap();

    let mut connection = connect(postgres.url()).await.unwrap();
    let (superuser, bypasses, creates): (bool, bool, bool) =
        sqlx::query_as("SELECT rolsuper, rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = current_user")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!((superuser, bypasses, creates), (false, false, true));
    sqlx::raw_sql("CREATE DATABASE template_of_tests").execute(&mut connection).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE one_test TEMPLATE template_of_tests").execute(&mut connection).await.unwrap();

    let one_test = postgres.url().replace("/gristmill", "/one_test").replacen("/one_test:", "/gristmill:", 1);
    let mut connection = connect(&one_test).await.unwrap();
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS vector").execute(&mut connection).await.unwrap();
    let nearest: f64 =
        sqlx::query_scalar("SELECT '[1,0]'::halfvec <-> '[1,2]'::halfvec").fetch_one(&mut connection).await.unwrap();
    assert_eq!(nearest, 2.0);
    let letters: bool = sqlx::query_scalar("SELECT lower('ÄÉΣ') = 'äéσ'").fetch_one(&mut connection).await.unwrap();
    assert!(letters, "the database does not know letters beyond ASCII");

    postgres.stop().await.unwrap();
    assert!(!options.data_dir.exists(), "a temporary database is deleted");
}

#[tokio::test]
async fn only_one_process_at_a_time_has_a_directory() {
    let dir = directory().unwrap();
    let (first, second) = tokio::join!(start(&dir), start(&dir));
    let (winner, loser) = match (first, second) {
        (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
        both => panic!("{both:?}"),
    };
    assert_eq!(loser.code(), "postgres-in-use");
    assert!(loser.to_string().contains(&format!("process {}", std::process::id())), "{loser}");
    write_note(winner.url(), "undisturbed").await.unwrap();
    winner.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_it_stops_the_server() {
    let dir = directory().unwrap();
    let first = start(&dir).await.unwrap();
    write_note(first.url(), "kept").await.unwrap();
    let server = postmaster(&dir).unwrap();
    drop(first);
    let second = start(&dir).await.unwrap();
    assert!(test_kill_process(server).is_err(), "the first server is gone");
    assert_eq!(notes(second.url()).await.unwrap(), ["kept"]);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn an_abandoned_start_leaves_nothing_in_the_way() {
    let dir = directory().unwrap();
    start(&dir).await.unwrap().stop().await.unwrap();
    let options = options(dir.path());
    let launched = tokio::sync::Notify::new();
    tokio::select! {
        biased;
        started = PrivatePostgres::start(&options, |progress| {
            if matches!(progress, Progress::Starting { .. }) {
                launched.notify_one();
            }
        }) => panic!("not abandoned: {started:?}"),
        () = launched.notified() => {}
    }
    let second = start(&dir).await.unwrap();
    write_note(second.url(), "kept").await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_owner_leaves_nothing_in_the_way() {
    let dir = directory().unwrap();
    let (mut first, url) = owner(&dir).unwrap();
    write_note(&url, "kept").await.unwrap();
    assert_eq!(start(&dir).await.unwrap_err().code(), "postgres-in-use");
    let server = postmaster(&dir).unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let second = start(&dir).await.unwrap();
    assert!(test_kill_process(server).is_err(), "the first server is gone");
    assert_eq!(notes(second.url()).await.unwrap(), ["kept"]);
    second.stop().await.unwrap();
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn an_orphaned_server_is_stopped_by_the_next_start() {
    let dir = directory().unwrap();
    let (mut first, url) = owner(&dir).unwrap();
    write_note(&url, "kept").await.unwrap();
    let server = postmaster(&dir).unwrap();
    // Stopped, lest it see the guard go; and the shells go first, lest they see the owner go.
    let owner = Pid::from_child(&first);
    kill_process(owner, Signal::STOP).unwrap();
    let guard = guard_of(server).unwrap();
    assert_eq!(guard.len(), 2);
    for pid in guard {
        kill_process(pid, Signal::KILL).unwrap();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    connect(&url).await.expect("the server runs on without owner and guard").close().await.unwrap();

    let reports = Mutex::new(Vec::new());
    let second =
        PrivatePostgres::start(&options(dir.path()), |progress| reports.lock().unwrap().push(progress)).await.unwrap();
    let pid = server.as_raw_pid().unsigned_abs();
    assert!(reports.lock().unwrap().contains(&Progress::StoppingPrevious { pid }));
    assert_eq!(notes(second.url()).await.unwrap(), ["kept"]);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_recovers() {
    let dir = directory().unwrap();
    let mut first = start(&dir).await.unwrap();
    write_note(first.url(), "kept").await.unwrap();
    kill_process(postmaster(&dir).unwrap(), Signal::KILL).unwrap();
    let error = first.ended().await;
    assert_eq!(error.code(), "postgres-ended");
    assert!(error.to_string().contains("signal 9"), "{error}");
    first.stop().await.unwrap();
    let second = start(&dir).await.unwrap();
    assert_eq!(notes(second.url()).await.unwrap(), ["kept"]);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_set_up_is_completed() {
    let dir = directory().unwrap();
    let first = start(&dir).await.unwrap();
    first.stop().await.unwrap();
    // As if the process had died after `initdb` and before it made the role's password known.
    fs::remove_file(options(dir.path()).data_dir.join("password")).unwrap();
    fs::create_dir(options(dir.path()).data_dir.join("cluster.new")).unwrap();
    let second = start(&dir).await.unwrap();
    write_note(second.url(), "kept").await.unwrap();
    second.stop().await.unwrap();
}

#[test]
fn a_command_gets_the_url_and_gives_the_exit_status() {
    let run = |script: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
        command.args(["postgres", "--", "sh", "-c", script]).output().unwrap()
    };
    let told = run("echo \"$DATABASE_URL\"; exit 7");
    assert_eq!(told.status.code(), Some(7), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stdout).starts_with("postgres://gristmill:"), "{told:?}");
    assert_eq!(run("kill -TERM $$").status.code(), Some(128 + 15));
}

#[tokio::test]
async fn an_installation_named_by_the_operator_is_the_only_one_looked_at() {
    let dir = directory().unwrap();
    let mut options = options(dir.path());
    options.bin_dir = Some(dir.path().join("nothing-here"));
    let error = PrivatePostgres::start(&options, |_| {}).await.unwrap_err();
    assert_eq!(error.code(), "postgres-unusable");
    assert!(error.to_string().contains("nothing-here"), "{error}");
}

#[tokio::test]
async fn without_any_installation_the_message_names_three_ways_out() {
    let dir = directory().unwrap();
    let mut options = options(dir.path());
    options.cache_dir = dir.path().join("cache");
    options.search_path = dir.path().join("no-python-here").into_os_string();
    match PrivatePostgres::start(&options, |_| {}).await {
        Err(error) => {
            assert_eq!(error.code(), "postgres-not-found");
            for way in ["compose.yaml", "pgvector", "DATABASE_URL", "python3"] {
                assert!(error.to_string().contains(way), "{error}");
            }
        }
        // This machine has a PostgreSQL with pgvector of its own.
        Ok(postgres) => postgres.stop().await.unwrap(),
    }
}
