//! Jobs that follow others: the edges of a graph without cycles.

use std::collections::{HashMap, HashSet};

use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Result,
    db::{Tx, sql},
};
use sea_orm::FromQueryResult;

use crate::submit::{Checked, NewJob};

/// Why a job cannot follow another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AfterProblem {
    /// The organization has no such job.
    #[error("there is no job {0} to follow")]
    Unknown(JobId),
    /// It did not succeed, and is over.
    #[error("{0}, which it is to follow, did not succeed: it is {1}; retry that one first")]
    Over(JobId, String),
    /// Jobs would wait for each other.
    #[error("it follows itself, through the jobs it is to follow")]
    Cycle,
    /// One handed in with it was refused.
    #[error("{0}, which it is to follow, was refused")]
    Refused(JobId),
    /// One handed in with it may turn out to be another job.
    #[error("{0}, which it is to follow, has a unique key; hand it in first and follow the job that stands for it")]
    Unique(JobId),
}

/// Which new jobs cannot follow what they are to follow, by place; and which new jobs are followed.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    pub(crate) problems: Vec<(usize, AfterProblem)>,
    pub(crate) followed: HashSet<JobId>,
}

/// Looks what the new jobs follow. Jobs that succeeded already need not be followed; those still to come are locked and
/// marked, so that their end is noticed.
pub(crate) async fn check(
    tx: &impl Tx,
    org: OrgId,
    all: &HashSet<JobId>,
    jobs: &mut [(usize, Checked)],
) -> Result<Looked> {
    let mut looked = Looked::default();
    if jobs.iter().all(|(_, (job, _))| job.after.is_empty()) {
        return Ok(looked);
    }
    let earlier: Vec<JobId> =
        jobs.iter().flat_map(|(_, (job, _))| &job.after).filter(|id| !all.contains(id)).copied().collect();
    let states = mark(tx, org, &earlier).await?;
    let rest: HashMap<JobId, bool> = jobs.iter().map(|(_, (job, _))| (job.id, job.unique.is_some())).collect();
    for (place, (job, _)) in &mut *jobs {
        job.after.sort_unstable();
        job.after.dedup();
        let problem = job.after.iter().find_map(|id| match (all.contains(id), states.get(id)) {
            (true, _) => match rest.get(id) {
                None => Some(AfterProblem::Refused(*id)),
                Some(true) => Some(AfterProblem::Unique(*id)),
                Some(false) => None,
            },
            (false, None) => Some(AfterProblem::Unknown(*id)),
            (false, Some(state)) => {
                matches!(state.as_str(), "failed" | "cancelled").then(|| AfterProblem::Over(*id, state.clone()))
            }
        });
        job.after.retain(|id| states.get(id).is_none_or(|state| state != "succeeded"));
        looked.problems.extend(problem.map(|problem| (*place, problem)));
    }
    let new: Vec<(JobId, &[JobId])> = jobs.iter().map(|(_, (job, _))| (job.id, job.after.as_slice())).collect();
    let turning = in_cycles(&new);
    looked.problems.extend(
        jobs.iter().filter(|(_, (job, _))| turning.contains(&job.id)).map(|(place, _)| (*place, AfterProblem::Cycle)),
    );
    refuse_followers(jobs, &mut looked);
    looked.followed = jobs.iter().flat_map(|(_, (job, _))| job.after.iter().copied()).collect();
    Ok(looked)
}

/// Those who follow a job that is refused are refused, and so on.
fn refuse_followers(jobs: &[(usize, Checked)], looked: &mut Looked) {
    let mut followers: HashMap<JobId, Vec<(usize, JobId)>> = HashMap::new();
    for (place, (job, _)) in jobs {
        for after in &job.after {
            followers.entry(*after).or_default().push((*place, job.id));
        }
    }
    let mut refused: HashSet<usize> = looked.problems.iter().map(|(place, _)| *place).collect();
    let mut fallen: Vec<JobId> =
        jobs.iter().filter(|(place, _)| refused.contains(place)).map(|(_, (job, _))| job.id).collect();
    while let Some(id) = fallen.pop() {
        for (place, follower) in followers.get(&id).into_iter().flatten() {
            if refused.insert(*place) {
                looked.problems.push((*place, AfterProblem::Refused(id)));
                fallen.push(*follower);
            }
        }
    }
}

/// The jobs that can never start because they wait for each other: what is left when all that may go went
/// (Kahn, "Topological sorting of large networks", 1962), and of that, what others of them wait for.
fn in_cycles(jobs: &[(JobId, &[JobId])]) -> HashSet<JobId> {
    let all: HashSet<JobId> = jobs.iter().map(|(id, _)| *id).collect();
    let (mut follows, mut followed): (Edges, Edges) = (HashMap::new(), HashMap::new());
    for (id, after) in jobs {
        for other in after.iter().filter(|other| all.contains(other)) {
            follows.entry(*id).or_default().push(*other);
            followed.entry(*other).or_default().push(*id);
        }
    }
    let stuck = without_ends(all, &follows, &followed);
    without_ends(stuck, &followed, &follows)
}

type Edges = HashMap<JobId, Vec<JobId>>;

/// What is left of `jobs` when those that wait for none of them are taken away, again and again. `waits` says for whom
/// each waits, `waited` by whom it is waited for.
fn without_ends(mut jobs: HashSet<JobId>, waits: &Edges, waited: &Edges) -> HashSet<JobId> {
    let mut open: HashMap<JobId, usize> = jobs
        .iter()
        .map(|id| (*id, waits.get(id).into_iter().flatten().filter(|other| jobs.contains(other)).count()))
        .collect();
    let mut free: Vec<JobId> = open.iter().filter(|(_, open)| **open == 0).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        jobs.remove(&id);
        for other in waited.get(&id).into_iter().flatten() {
            if let Some(open) = open.get_mut(other).filter(|_| jobs.contains(other)) {
                *open -= 1;
                if *open == 0 {
                    free.push(*other);
                }
            }
        }
    }
    jobs
}

/// The states of jobs; those that are not over are marked as watched.
async fn mark(tx: &impl Tx, org: OrgId, ids: &[JobId]) -> Result<HashMap<JobId, String>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: JobId,
        state: String,
    }
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let locked = "SELECT id, state FROM jobs WHERE id = ANY($1) AND org_id = $2 ORDER BY id FOR UPDATE";
    let rows: Vec<Row> = tx.all(sql(locked, [ids.clone().into(), org.into()])).await?;
    let marked = "UPDATE jobs SET watched = true WHERE id = ANY($1) AND org_id = $2 AND NOT watched";
    tx.execute(sql(marked, [ids.into(), org.into()])).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.state)).collect())
}

/// Writes what the jobs follow.
pub(crate) async fn write<'j>(tx: &impl Tx, org: OrgId, jobs: impl IntoIterator<Item = &'j NewJob>) -> Result<()> {
    let (mut followers, mut followed) = (Vec::new(), Vec::new());
    for job in jobs {
        for after in &job.after {
            followers.push(job.id.uuid());
            followed.push(after.uuid());
        }
    }
    if followers.is_empty() {
        return Ok(());
    }
    tx.execute(sql(
        "INSERT INTO job_edges (org_id, job_id, after_id) SELECT $1, * FROM unnest($2::uuid[], $3::uuid[])",
        [org.into(), followers.into(), followed.into()],
    ))
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::in_cycles;
    use gristmill_core::ids::JobId;
    use std::collections::HashSet;

    #[test]
    fn jobs_that_wait_for_each_other_are_found_and_those_behind_them_are_not() {
        let [a, b, c, before, behind] = [(); 5].map(|()| JobId::generate());
        let jobs: [(JobId, &[JobId]); 5] =
            [(a, &[b, before]), (b, &[c]), (c, &[a]), (before, &[]), (behind, &[a, before])];
        assert_eq!(in_cycles(&jobs), HashSet::from([a, b, c]));
        assert_eq!(in_cycles(&[(a, &[a])]), HashSet::from([a]));
        assert_eq!(in_cycles(&[(a, &[]), (b, &[a]), (c, &[a, b])]), HashSet::new());
    }
}
