//! Limits and pauses as they are kept: read for each look of a dispatcher, and set by people.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Result,
    db::{SystemTx, Tx, sql},
};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{
    Engine,
    flow::{EVERYBODY, Flow, Lane, Limit, Scope, Subject},
};

/// What is to be limited how. What is `None` is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setting {
    /// An organization's share beside others, 1 to 1,000.
    pub weight: Option<i32>,
    /// Jobs that run, or are on their way to a worker, at once.
    pub max_running: Option<i32>,
    /// Units that may start per minute.
    pub per_minute: Option<i32>,
}

/// A limit as it is kept.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Row {
    /// Whose; [`EVERYBODY`] for all together.
    pub org_id: Uuid,
    /// `org`, `queue`, `kind` or `key`.
    pub scope: String,
    /// Of what; empty for an organization.
    pub name: String,
    /// An organization's share beside others.
    pub weight: Option<i32>,
    /// Jobs at once.
    pub max_running: Option<i32>,
    /// Units per minute.
    pub per_minute: Option<i32>,
    /// True where nothing starts, now.
    pub paused: bool,
    /// Until when, if not until somebody resumes it.
    pub paused_until: Option<DateTime<Utc>>,
}

/// The limits that `tx` sees of `org`, and those for everybody.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &impl Tx, org: OrgId) -> Result<Vec<Row>> {
    tx.all(sql(
        "SELECT org_id, scope, name, weight, max_running, per_minute,
                paused AND (paused_until IS NULL OR paused_until > now()) AS paused, paused_until
         FROM limits WHERE org_id IN ($1, $2) ORDER BY org_id, scope, name",
        [org.into(), EVERYBODY.into()],
    ))
    .await
}

/// Sets a limit, leaving a pause as it is.
///
/// # Errors
/// When the database cannot be asked.
pub async fn set(tx: &impl Tx, subject: &Subject, setting: Setting) -> Result<()> {
    tx.execute(sql(
        "INSERT INTO limits (org_id, scope, name, weight, max_running, per_minute) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (org_id, scope, name) DO UPDATE SET weight = excluded.weight, max_running = excluded.max_running,
             paid_at = CASE WHEN limits.per_minute = excluded.per_minute THEN limits.paid_at END,
             per_minute = excluded.per_minute, updated_at = now()",
        [
            subject.org.into(),
            subject.scope.name().into(),
            subject.name.clone().into(),
            setting.weight.into(),
            setting.max_running.into(),
            setting.per_minute.into(),
        ],
    ))
    .await?;
    Ok(())
}

/// Lets nothing more start, until a time or until it is resumed; what was on its way to a worker is called back. What runs
/// goes on.
///
/// # Errors
/// When the database cannot be asked.
pub async fn pause(tx: &impl Tx, subject: &Subject, until: Option<DateTime<Utc>>) -> Result<()> {
    tx.execute(sql(
        "INSERT INTO limits (org_id, scope, name, paused, paused_until) VALUES ($1, $2, $3, true, $4)
         ON CONFLICT (org_id, scope, name) DO UPDATE SET paused = true, paused_until = $4, updated_at = now()",
        [subject.org.into(), subject.scope.name().into(), subject.name.clone().into(), until.into()],
    ))
    .await?;
    // A message whose slot is free is refused when it arrives.
    tx.execute(sql(
        "UPDATE window_slots AS w SET job_id = NULL FROM (
             SELECT slot FROM window_slots WHERE job_id IS NOT NULL AND ($1 = $4 OR org_id = $1)
               AND CASE $2 WHEN 'queue' THEN queue = $3 WHEN 'kind' THEN kind = $3
                           WHEN 'key' THEN concurrency_key = $3 ELSE true END
             ORDER BY slot FOR UPDATE) AS held
         WHERE w.slot = held.slot",
        [subject.org.into(), subject.scope.name().into(), subject.name.clone().into(), EVERYBODY.into()],
    ))
    .await?;
    Ok(())
}

/// Ends a pause; false where there was none.
///
/// # Errors
/// When the database cannot be asked.
pub async fn resume(tx: &impl Tx, subject: &Subject) -> Result<bool> {
    let resumed = tx
        .execute(sql(
            "UPDATE limits SET paused = false, paused_until = NULL, updated_at = now()
             WHERE org_id = $1 AND scope = $2 AND name = $3 AND paused",
            [subject.org.into(), subject.scope.name().into(), subject.name.clone().into()],
        ))
        .await?;
    Ok(resumed > 0)
}

/// Removes a limit and its pause; false where there was none.
///
/// # Errors
/// When the database cannot be asked.
pub async fn remove(tx: &impl Tx, subject: &Subject) -> Result<bool> {
    let removed = tx
        .execute(sql(
            "DELETE FROM limits WHERE org_id = $1 AND scope = $2 AND name = $3",
            [subject.org.into(), subject.scope.name().into(), subject.name.clone().into()],
        ))
        .await?;
    Ok(removed > 0)
}

#[derive(FromQueryResult)]
struct Kept {
    org_id: Uuid,
    scope: String,
    name: String,
    weight: Option<i32>,
    max_running: Option<i32>,
    per_minute: Option<i32>,
    paused: bool,
    until: Option<f64>,
    paid: Option<f64>,
}

#[derive(FromQueryResult)]
struct Running {
    queue: String,
    org_id: OrgId,
    kind: String,
    concurrency_key: String,
    jobs: i64,
}

/// Everything that may hold `lanes` back. `under_way` are the jobs in the window; those that run are counted only where
/// something depends on it.
pub(crate) async fn flow(
    tx: &SystemTx,
    lanes: impl Iterator<Item = &Lane> + Clone,
    under_way: &[(Lane, usize)],
    now: f64,
) -> Result<Flow> {
    let mut orgs: Vec<Uuid> = lanes.clone().map(|lane| lane.org.uuid()).collect();
    orgs.push(EVERYBODY);
    orgs.sort_unstable();
    orgs.dedup();
    let limits: Vec<Kept> = tx
        .all(sql(
            "SELECT org_id, scope, name, weight, max_running, per_minute, paused,
                    date_part('epoch', paused_until - '2000-01-01 00:00:00+00'::timestamptz) AS until,
                    date_part('epoch', paid_at - '2000-01-01 00:00:00+00'::timestamptz) AS paid
             FROM limits WHERE org_id = ANY($1)",
            [orgs.into()],
        ))
        .await?;
    let mut flow = Flow::at(now);
    for kept in limits {
        let Ok(scope) = kept.scope.parse::<Scope>() else { continue };
        let Kept { org_id: org, name, weight, max_running, per_minute, paused, until, paid, .. } = kept;
        let limit = Limit { weight, max_running, per_minute, paused, paused_until: until, paid_at: paid };
        flow.limit(Subject { org, scope, name }, limit);
    }
    if flow.counts_running() || lanes.clone().any(|lane| !lane.key.is_empty()) {
        for (lane, jobs) in under_way {
            flow.count(lane, *jobs);
        }
        for running in running(tx).await? {
            let Running { queue, org_id: org, kind, concurrency_key: key, jobs } = running;
            if let (Ok(queue), Ok(jobs)) = (queue.parse(), usize::try_from(jobs)) {
                flow.count(&Lane { queue, org, kind, key }, jobs);
            }
        }
    }
    Ok(flow)
}

async fn running(tx: &impl Tx) -> Result<Vec<Running>> {
    tx.all(sql(
        "SELECT queue, org_id, kind, concurrency_key, count(*) AS jobs FROM jobs WHERE state = 'running'
         GROUP BY queue, org_id, kind, concurrency_key",
        [],
    ))
    .await
}

/// Writes what was used up.
pub(crate) async fn pay(tx: &SystemTx, flow: &Flow) -> Result<()> {
    let mut paid: Vec<(&Subject, f64)> = flow.paid().collect();
    if paid.is_empty() {
        return Ok(());
    }
    paid.sort_by_key(|(subject, _)| (subject.org, subject.scope, subject.name.as_str()));
    tx.execute(sql(
        "UPDATE limits AS l SET paid_at = '2000-01-01 00:00:00+00'::timestamptz + make_interval(secs => p.paid_at)
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[]) AS p(org_id, scope, name, paid_at)
         WHERE l.org_id = p.org_id AND l.scope = p.scope AND l.name = p.name",
        [
            paid.iter().map(|(subject, _)| subject.org).collect::<Vec<_>>().into(),
            paid.iter().map(|(subject, _)| subject.scope.name().to_owned()).collect::<Vec<_>>().into(),
            paid.iter().map(|(subject, _)| subject.name.clone()).collect::<Vec<_>>().into(),
            paid.iter().map(|(_, paid_at)| *paid_at).collect::<Vec<_>>().into(),
        ],
    ))
    .await?;
    Ok(())
}

impl Engine {
    /// Everything that may hold `job`, which is in `lane`, back, as a dispatcher would see it now. It does not count
    /// against itself while it is on its way to a worker.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn flow_of(&self, lane: &Lane, job: Option<JobId>) -> Result<Flow> {
        #[derive(FromQueryResult)]
        struct Now {
            now: f64,
        }
        let tx = self.db.system().await?;
        let asked = "SELECT date_part('epoch', now() - '2000-01-01 00:00:00+00'::timestamptz) AS now";
        let now = tx.one::<Now>(sql(asked, [])).await?.map_or(0.0, |row| row.now);
        let groups = crate::window::groups(&tx, job).await?;
        let jobs = |group: &crate::window::Group| Some((group.lane()?, usize::try_from(group.jobs).ok()?));
        let under_way: Vec<(Lane, usize)> = groups.iter().filter_map(jobs).collect();
        let flow = flow(&tx, std::iter::once(lane), &under_way, now).await?;
        tx.commit().await?;
        Ok(flow)
    }
}
