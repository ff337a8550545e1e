//! Which jobs go next, as pure functions: by priority, then fairly by organization, within every limit.
//!
//! Fair is start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing", SIGCOMM 1996): each job gets a tag,
//! one turn after the one before it of its organization, and lower tags go first. A turn is as long as its organization's
//! weight is small. An organization that had nothing waiting joins at the tag that is being served: it neither waits
//! behind what others queued up nor is paid back for having been quiet.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    time::Duration,
};

use gristmill_core::ids::{JobId, OrgId};

use crate::{
    flow::{Block, Flow, Lane},
    queue::Queue,
};

/// A level of priority is worth so many seconds of waiting.
pub const LEVEL_S: f64 = 600.0;
/// A turn of an organization of weight 1.
const TURN: i64 = 1_000;
/// Between the scores of one level and the next: more turns than a window sees in centuries.
const LEVEL_SCORE: i64 = 900_000_000_000_000;

/// A job that might go.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The job.
    pub id: JobId,
    /// Lower goes first; see the column.
    pub rank: f64,
    /// How much of a rate it uses up.
    pub units: i32,
    /// How many of its key may run at once.
    pub key_limit: i32,
}

/// A job that goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Pick {
    /// The job.
    pub id: JobId,
    /// Its lane.
    pub lane: Lane,
    /// Its priority after ageing.
    pub level: i16,
    /// Its place among its level.
    pub tag: i64,
}

impl Pick {
    /// Where it stands among everything that waits in a delivery: lower goes first.
    pub fn score(&self) -> i64 {
        i64::from(self.level) * LEVEL_SCORE + self.tag.clamp(0, LEVEL_SCORE - 1)
    }
}

/// A job may be seen that was made a moment after the look began; it is not less urgent for that.
const MOMENT_S: f64 = 1.0;

/// The priority that a job has come to by waiting: 0 (first) to 9.
pub fn level(rank: f64, now: f64) -> i16 {
    let level = ((rank - now - MOMENT_S) / LEVEL_S).ceil().clamp(0.0, 9.0);
    // Ten small whole numbers.
    (0..=9).find(|whole| f64::from(*whole) >= level).unwrap_or(9)
}

/// Where the tags of each queue and level stand: the lowest that waits, and the last of each organization.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    served: HashMap<(Queue, i16), i64>,
    last: HashMap<(Queue, i16, OrgId), i64>,
}

impl Turns {
    /// Notes that jobs of `org` with tags from `lowest` to `highest` wait in the window.
    pub fn note(&mut self, queue: Queue, level: i16, org: OrgId, lowest: i64, highest: i64) {
        let served = self.served.entry((queue, level)).or_insert(lowest);
        *served = lowest.min(*served);
        let last = self.last.entry((queue, level, org)).or_insert(highest);
        *last = highest.max(*last);
    }

    fn next(&self, queue: Queue, level: i16, org: OrgId, weight: i32) -> i64 {
        let served = self.served.get(&(queue, level)).copied().unwrap_or(0);
        let last = self.last.get(&(queue, level, org)).copied().unwrap_or(served);
        last.max(served) + (TURN / i64::from(weight)).max(1)
    }

    fn take(&mut self, queue: Queue, level: i16, org: OrgId, tag: i64) {
        self.last.insert((queue, level, org), tag);
    }
}

/// What was chosen, and what was held back by a rate only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The jobs that go, in order.
    pub picks: Vec<Pick>,
    /// The shortest time after which a rate lets another one go.
    pub retry_in: Option<Duration>,
}

/// What waits of one organization in one queue, first to go last.
struct Line {
    queue: Queue,
    org: OrgId,
    weight: i32,
    waiting: Vec<(Candidate, usize)>,
}

/// Chooses among `lanes` (each with its candidates in order) at most `room` jobs per queue of [`Queue::ALL`], and counts
/// them in `flow` and `turns`.
pub fn choose(lanes: Vec<(Lane, Vec<Candidate>)>, flow: &mut Flow, turns: &mut Turns, mut room: [usize; 4]) -> Choice {
    let (lanes, mut lines) = lines(lanes, flow);
    let mut choice = Choice::default();
    let mut blocked = HashSet::new();
    let mut heap = BinaryHeap::new();
    for index in 0..lines.len() {
        heap.extend(turn(&lines, index, turns, flow.now));
    }
    while let Some(Reverse((level, tag, _, index))) = heap.pop() {
        let line = &mut lines[index];
        let places = &mut room[place(line.queue)];
        let Some((candidate, of)) = line.waiting.last().filter(|_| *places > 0) else { continue };
        let lane = &lanes[*of];
        match flow.admits(lane, candidate.key_limit) {
            Ok(()) => {
                flow.take(lane, candidate.units);
                turns.take(line.queue, level, line.org, tag);
                choice.picks.push(Pick { id: candidate.id, lane: lane.clone(), level, tag });
                *places -= 1;
                line.waiting.pop();
            }
            Err(block) => {
                if let Block::Rate(_, wait) = block {
                    choice.retry_in = Some(choice.retry_in.map_or(wait, |known: Duration| known.min(wait)));
                }
                blocked.insert(*of);
                line.waiting.retain(|(_, of)| !blocked.contains(of));
            }
        }
        heap.extend(turn(&lines, index, turns, flow.now));
    }
    choice
}

type Turn = Reverse<(i16, i64, i64, usize)>;

/// When the next job of a line goes: by level, tag, and age.
fn turn(lines: &[Line], index: usize, turns: &Turns, now: f64) -> Option<Turn> {
    let line = &lines[index];
    let rank = line.waiting.last()?.0.rank;
    let level = level(rank, now);
    let tag = turns.next(line.queue, level, line.org, line.weight);
    Some(Reverse((level, tag, micros(rank), index)))
}

fn lines(lanes: Vec<(Lane, Vec<Candidate>)>, flow: &Flow) -> (Vec<Lane>, Vec<Line>) {
    let mut lines: HashMap<(Queue, OrgId), Line> = HashMap::new();
    let mut names = Vec::with_capacity(lanes.len());
    for (lane, candidates) in lanes {
        let (queue, org) = (lane.queue, lane.org);
        let line = lines.entry((queue, org)).or_insert_with(|| {
            let weight = flow.weight(org);
            Line { queue, org, weight, waiting: Vec::new() }
        });
        line.waiting.extend(candidates.into_iter().map(|candidate| (candidate, names.len())));
        names.push(lane);
    }
    let mut lines: Vec<Line> = lines.into_values().collect();
    lines.sort_by_key(|line| (line.queue, line.org));
    for line in &mut lines {
        line.waiting.sort_by_key(|(candidate, _)| Reverse((micros(candidate.rank), candidate.id)));
    }
    (names, lines)
}

/// A whole number to order by.
#[expect(clippy::cast_possible_truncation, reason = "saturates, which keeps the order")]
fn micros(rank: f64) -> i64 {
    (rank * 1e6) as i64
}

/// The queue's place in [`Queue::ALL`].
pub(crate) fn place(queue: Queue) -> usize {
    Queue::ALL.iter().position(|one| *one == queue).unwrap_or(0)
}
