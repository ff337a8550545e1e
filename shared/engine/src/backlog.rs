//! What waits, as its index tells it: the lanes, and the first jobs of each.
//!
//! A job that was claimed leaves a dead entry behind in the index until Postgres cleans up, so the front of a lane with a
//! backlog becomes a field of dead entries, and every walk from its beginning is longer than the one before. A
//! dispatcher therefore remembers how far it came in the lanes that had more than it took, and goes on from there; now
//! and then it walks everything anew, for what may have come in before that place, and for new lanes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Result,
    db::{SystemTx, Tx as _, sql},
};
use sea_orm::FromQueryResult;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    flow::Lane,
    pick::{Candidate, place},
    queue::Queue,
};

/// Lanes seen in one walk. Where there are more, the next walk goes on after the last.
const LANES: usize = 1_000;
/// A walk is followed by so many times its own duration without one: walking costs a fifth of the time at most.
const PAUSE: u32 = 4;
/// The longest time without a walk.
const LONGEST: Duration = Duration::from_millis(500);

/// A lane in which jobs wait.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) lane: Lane,
    /// The place of its first job, or one before it.
    pub(crate) from: Place,
}

/// A place in a lane's order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) rank: f64,
    pub(crate) id: JobId,
}

/// What a look sees of the lanes in which jobs wait.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    pub(crate) waiting: Vec<Waiting>,
    /// False where there may be more lanes than these.
    pub(crate) all: bool,
    /// When they were walked; `None` for remembered ones.
    pub(crate) walked: Option<Instant>,
}

/// What a dispatcher remembers from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct Trail(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// Lanes that had more than was taken, or were held back.
    waiting: Vec<Waiting>,
    /// When everything is to be walked anew.
    walk_at: Option<Instant>,
    /// Where the next walk begins, per queue: the last lane of one that did not see all.
    rotation: [Option<Lane>; 4],
}

impl Trail {
    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lanes in which jobs wait: those that are remembered and have `room`, or all of them by walking the index from one
    /// to the next.
    pub(crate) async fn lanes(&self, tx: &SystemTx, room: [usize; 4]) -> Result<Lanes> {
        let began = Instant::now();
        let from = {
            let mut remembered = self.lock();
            if !remembered.waiting.is_empty() && remembered.walk_at.is_some_and(|at| began < at) {
                let has_room = remembered.waiting.iter().any(|one| room[place(one.lane.queue)] > 0);
                let waiting = if has_room { std::mem::take(&mut remembered.waiting) } else { Vec::new() };
                return Ok(Lanes { waiting, all: false, walked: None });
            }
            remembered.rotation.clone()
        };
        let (waiting, complete) = walk(tx, &from).await?;
        let last = |queue| waiting.iter().rfind(|one| one.lane.queue == queue).filter(|_| !complete);
        self.lock().rotation = Queue::ALL.map(|queue| last(queue).map(|one| one.lane.clone()));
        let all = complete && from.iter().all(Option::is_none);
        Ok(Lanes { waiting, all, walked: Some(began) })
    }

    /// Remembers where to go on after `seen` in the lanes of `waiting`; nothing where a queue took less than it had `room`
    /// for, for then it may have more elsewhere.
    pub(crate) fn remember(
        &self,
        Lanes { mut waiting, walked, .. }: Lanes,
        seen: Vec<Seen>,
        picked: &HashSet<JobId>,
        room: [usize; 4],
    ) {
        let mut taken = [0; 4];
        for one in &seen {
            taken[place(one.lane.queue)] += one.jobs.iter().filter(|job| picked.contains(&job.id)).count();
        }
        let seen: HashMap<Lane, Seen> = seen.into_iter().map(|seen| (seen.lane.clone(), seen)).collect();
        // Lanes that were held back, or had no room, are where they were.
        waiting.retain_mut(|one| match seen.get(&one.lane).filter(|seen| seen.most > 0) {
            Some(seen) => seen.rest(picked).map(|from| one.from = from).is_some(),
            None => true,
        });
        let short = waiting.iter().any(|one| taken[place(one.lane.queue)] < room[place(one.lane.queue)]);
        let mut remembered = self.lock();
        remembered.waiting = if short { Vec::new() } else { waiting };
        if let Some(began) = walked {
            remembered.walk_at = Some(Instant::now() + (began.elapsed() * PAUSE).min(LONGEST));
        }
    }
}

/// What a look saw of a lane.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) lane: Lane,
    /// How many jobs it asked for.
    pub(crate) most: usize,
    /// Those that it saw, in order.
    pub(crate) jobs: Vec<Place>,
}

impl Seen {
    /// Where the lane goes on; `None` where nothing is left.
    fn rest(&self, picked: &HashSet<JobId>) -> Option<Place> {
        let left = self.jobs.iter().find(|job| !picked.contains(&job.id));
        let full = self.jobs.last().filter(|_| self.jobs.len() >= self.most);
        left.or(full).copied()
    }
}

/// At most [`LANES`] lanes after `from`, each with its first job, and whether those are all.
async fn walk(tx: &SystemTx, from: &[Option<Lane>; 4]) -> Result<(Vec<Waiting>, bool)> {
    #[derive(FromQueryResult)]
    struct Row {
        queue: String,
        org_id: OrgId,
        kind: String,
        concurrency_key: String,
        rank: f64,
        id: JobId,
    }
    let text = |of: fn(&Lane) -> &String| -> Vec<String> {
        from.iter().map(|lane| lane.as_ref().map(of).cloned().unwrap_or_default()).collect()
    };
    let rows: Vec<Row> = tx
        .all(sql(
            "WITH RECURSIVE lanes AS (
                 SELECT f.queue, first.* FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[])
                     AS f(queue, org_id, kind, concurrency_key),
                 LATERAL (SELECT org_id, kind, concurrency_key, rank, id FROM jobs
                          WHERE state = 'queued' AND queue = f.queue
                            AND (org_id, kind, concurrency_key) > (f.org_id, f.kind, f.concurrency_key)
                          ORDER BY org_id, kind, concurrency_key, rank, id LIMIT 1) AS first
                 UNION ALL
                 SELECT l.queue, next.* FROM lanes AS l,
                 LATERAL (SELECT org_id, kind, concurrency_key, rank, id FROM jobs
                          WHERE state = 'queued' AND queue = l.queue
                            AND (org_id, kind, concurrency_key) > (l.org_id, l.kind, l.concurrency_key)
                          ORDER BY org_id, kind, concurrency_key, rank, id LIMIT 1) AS next)
             SELECT * FROM lanes LIMIT $5",
            [
                Queue::ALL.map(|queue| queue.name().to_owned()).to_vec().into(),
                from.iter()
                    .map(|lane| lane.as_ref().map_or(Uuid::nil(), |lane| lane.org.uuid()))
                    .collect::<Vec<_>>()
                    .into(),
                text(|lane| &lane.kind).into(),
                text(|lane| &lane.key).into(),
                i64::try_from(LANES).unwrap_or(i64::MAX).into(),
            ],
        ))
        .await?;
    let complete = rows.len() < LANES;
    let waiting = |row: Row| {
        let lane = Lane { queue: row.queue.parse().ok()?, org: row.org_id, kind: row.kind, key: row.concurrency_key };
        Some(Waiting { lane, from: Place { rank: row.rank, id: row.id } })
    };
    Ok((rows.into_iter().filter_map(waiting).collect(), complete))
}

/// The first jobs of each lane, as many as could possibly be chosen of it, and what was seen of each.
pub(crate) async fn candidates(
    tx: &SystemTx,
    open: &[&Waiting],
    room: [usize; 4],
) -> Result<(Vec<(Lane, Vec<Candidate>)>, Vec<Seen>)> {
    #[derive(FromQueryResult)]
    struct Row {
        lane: i64,
        id: JobId,
        rank: f64,
        units: i32,
        key_limit: i32,
    }
    let most = shares(open, room);
    let rows: Vec<Row> = tx
        .all(sql(
            "WITH under_way AS MATERIALIZED (SELECT job_id FROM window_slots WHERE job_id IS NOT NULL)
             SELECT l.lane, next.*
             FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::float8[], $7::uuid[])
                 WITH ORDINALITY AS l(queue, org_id, kind, concurrency_key, most, rank, id, lane),
             LATERAL (SELECT id, rank, units, key_limit FROM jobs
                      WHERE state = 'queued' AND queue = l.queue AND org_id = l.org_id AND kind = l.kind
                        AND concurrency_key = l.concurrency_key AND (rank, id) >= (l.rank, l.id)
                        AND id NOT IN (SELECT job_id FROM under_way)
                      ORDER BY rank, id LIMIT l.most) AS next",
            [
                open.iter().map(|one| one.lane.queue.name().to_owned()).collect::<Vec<_>>().into(),
                open.iter().map(|one| one.lane.org.uuid()).collect::<Vec<_>>().into(),
                open.iter().map(|one| one.lane.kind.clone()).collect::<Vec<_>>().into(),
                open.iter().map(|one| one.lane.key.clone()).collect::<Vec<_>>().into(),
                most.iter().map(|most| i32::try_from(*most).unwrap_or(i32::MAX)).collect::<Vec<_>>().into(),
                open.iter().map(|one| one.from.rank).collect::<Vec<_>>().into(),
                open.iter().map(|one| one.from.id.uuid()).collect::<Vec<_>>().into(),
            ],
        ))
        .await?;
    let mut found: Vec<(Lane, Vec<Candidate>)> = open.iter().map(|one| (one.lane.clone(), Vec::new())).collect();
    for Row { lane, id, rank, units, key_limit } in rows {
        let lane = usize::try_from(lane - 1).ok().and_then(|lane| found.get_mut(lane));
        if let Some((_, candidates)) = lane {
            candidates.push(Candidate { id, rank, units, key_limit });
        }
    }
    let seen = |((lane, jobs), most): (&(Lane, Vec<Candidate>), usize)| {
        let jobs = jobs.iter().map(|job| Place { rank: job.rank, id: job.id }).collect();
        Seen { lane: lane.clone(), most, jobs }
    };
    let seen = found.iter().zip(most).map(seen).collect();
    Ok((found, seen))
}

/// How many jobs of each lane could be chosen.
fn shares(open: &[&Waiting], room: [usize; 4]) -> Vec<usize> {
    let mut per_queue: HashMap<Queue, usize> = HashMap::new();
    for one in open {
        *per_queue.entry(one.lane.queue).or_default() += 1;
    }
    let share = |one: &&Waiting| {
        let (room, lanes) = (room[place(one.lane.queue)], per_queue.get(&one.lane.queue).copied().unwrap_or(1));
        // Few lanes may each take all of the room; of many, none gets more than some times its share.
        if lanes <= 8 { room } else { room.div_ceil(lanes).saturating_mul(4).min(room) }
    };
    open.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(kind: &str) -> Lane {
        Lane { queue: Queue::Default, org: OrgId::generate(), kind: kind.to_owned(), key: String::new() }
    }

    fn jobs(ranks: &[f64]) -> Vec<Place> {
        ranks.iter().map(|rank| Place { rank: *rank, id: JobId::generate() }).collect()
    }

    fn ids(jobs: &[Place]) -> HashSet<JobId> {
        jobs.iter().map(|job| job.id).collect()
    }

    #[test]
    fn a_lane_goes_on_at_the_first_job_that_was_left() {
        let (lane, jobs) = (lane("a"), jobs(&[1.0, 2.0, 3.0]));
        let rest = |most, picked: &[Place]| Seen { lane: lane.clone(), most, jobs: jobs.clone() }.rest(&ids(picked));
        assert_eq!(rest(3, &jobs[..1]), Some(jobs[1]), "the second was left");
        assert_eq!(rest(3, &jobs), Some(jobs[2]), "there may be more after the third");
        assert_eq!(rest(9, &jobs), None, "there were no more");
        assert_eq!(rest(9, &[jobs[0], jobs[2]]), Some(jobs[1]), "one in the middle was left");
    }

    #[test]
    fn what_left_room_is_walked_anew() {
        let trail = Trail::default();
        let (lane, jobs) = (lane("a"), jobs(&[1.0, 2.0]));
        let remembered = |most, room| {
            let seen = vec![Seen { lane: lane.clone(), most, jobs: jobs[..most].to_vec() }];
            let waiting = vec![Waiting { lane: lane.clone(), from: jobs[0] }];
            let lanes = Lanes { waiting, all: true, walked: Some(Instant::now()) };
            trail.remember(lanes, seen, &ids(&jobs), [room; 4]);
            trail.lock().waiting.iter().map(|one| one.from).collect::<Vec<_>>()
        };
        assert_eq!(remembered(2, 2), [jobs[1]], "all of the room was used");
        assert_eq!(remembered(0, 0), [jobs[0]], "there was none");
        assert_eq!(remembered(2, 3), [], "there was room for one more");
    }
}
