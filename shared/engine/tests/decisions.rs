//! The pure decisions, tried with whatever may come: which jobs go next, within which limits, in which states.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{collections::HashMap, time::Duration};

use gristmill_core::ids::{JobId, OrgId};
use gristmill_engine::{
    Queue,
    backoff::Backoff,
    flow::{Block, EVERYBODY, Flow, Lane, Limit, Scope, Subject},
    pick::{Candidate, Pick, Turns, choose, level},
    state::{Move, State},
};
use proptest::prelude::*;
use uuid::Uuid;

const NOW: f64 = 800_000_000.0;

fn org(number: u8) -> OrgId {
    OrgId::from(Uuid::from_u128(1 + u128::from(number)))
}

fn lane(queue: usize, number: u8, kind: &str, key: &str) -> Lane {
    Lane { queue: Queue::ALL[queue], org: org(number), kind: kind.to_owned(), key: key.to_owned() }
}

fn waiting(jobs: usize, priority: f64, waited_s: f64) -> Vec<Candidate> {
    (0..jobs)
        .map(|place| {
            // Millionths of a second apart, oldest first.
            let rank = NOW - waited_s + priority * 600.0 + f64::from(u32::try_from(place).unwrap()) * 1e-5;
            Candidate { id: JobId::generate(), rank, units: 1, key_limit: 1 }
        })
        .collect()
}

fn set(org: Uuid, scope: Scope, name: &str) -> Subject {
    Subject { org, scope, name: name.to_owned() }
}

fn per_org(picks: &[Pick]) -> HashMap<OrgId, usize> {
    let mut counts = HashMap::new();
    for pick in picks {
        *counts.entry(pick.lane.org).or_default() += 1;
    }
    counts
}

#[derive(Debug, Clone)]
struct Scene {
    lanes: Vec<(Lane, Vec<Candidate>)>,
    room: [usize; 4],
    most: Vec<(Subject, i32)>,
}

fn scenes() -> impl Strategy<Value = Scene> {
    let lane = (0..4_usize, 0..6_u8, 0..3_u8, 0..3_u8, 0..30_usize, 0..10_u8, 0..4_000_u32).prop_map(
        |(queue, org, kind, key, jobs, priority, waited)| {
            let key = if key == 0 { String::new() } else { format!("key-{key}") };
            let lane = lane(queue, org, &format!("kind-{kind}"), &key);
            (lane, waiting(jobs, f64::from(priority), f64::from(waited)))
        },
    );
    let limit = (0..4_usize, 0..6_u8, 0..3_u8, 0..12_i32).prop_map(|(which, number, kind, most)| {
        let of = org(number).uuid();
        let subject = match which {
            0 => set(of, Scope::Org, ""),
            1 => set(EVERYBODY, Scope::Kind, &format!("kind-{kind}")),
            2 => set(of, Scope::Kind, &format!("kind-{kind}")),
            _ => set(EVERYBODY, Scope::Queue, Queue::ALL[usize::from(number) % 4].name()),
        };
        (subject, most)
    });
    let room = prop::array::uniform4(0..40_usize);
    (prop::collection::vec(lane, 0..12), room, prop::collection::vec(limit, 0..6)).prop_map(|(lanes, room, most)| {
        let mut once: HashMap<Lane, Vec<Candidate>> = HashMap::new();
        once.extend(lanes);
        Scene { lanes: once.into_iter().collect(), room, most }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No limit, no room and no key is ever exceeded, nothing goes twice, and of what may go nothing is left behind.
    #[test]
    fn what_is_chosen_keeps_every_limit_and_uses_all_room(scene in scenes()) {
        let mut flow = Flow::at(NOW);
        for (subject, most) in &scene.most {
            flow.limit(subject.clone(), Limit { max_running: Some(*most), ..Limit::default() });
        }
        let limits: HashMap<Subject, i32> = scene.most.iter().cloned().collect();
        let picks = choose(scene.lanes.clone(), &mut flow, &mut Turns::default(), scene.room).picks;
        let mut seen = std::collections::HashSet::new();
        prop_assert!(picks.iter().all(|pick| seen.insert(pick.id)));
        for (place, queue) in Queue::ALL.into_iter().enumerate() {
            prop_assert!(picks.iter().filter(|pick| pick.lane.queue == queue).count() <= scene.room[place]);
        }
        for (subject, most) in &limits {
            let counts = |pick: &&Pick| match subject.scope {
                Scope::Org => pick.lane.org.uuid() == subject.org,
                Scope::Kind => pick.lane.kind == subject.name
                    && (subject.org == EVERYBODY || pick.lane.org.uuid() == subject.org),
                Scope::Queue => pick.lane.queue.name() == subject.name,
                Scope::Key => false,
            };
            prop_assert!(picks.iter().filter(counts).count() <= usize::try_from(*most).unwrap());
        }
        let mut keys: HashMap<(OrgId, &str), usize> = HashMap::new();
        for pick in picks.iter().filter(|pick| !pick.lane.key.is_empty()) {
            *keys.entry((pick.lane.org, &pick.lane.key)).or_default() += 1;
        }
        prop_assert!(keys.values().all(|running| *running <= 1));
        for (lane, candidates) in &scene.lanes {
            let place = Queue::ALL.iter().position(|queue| *queue == lane.queue).unwrap();
            let full = picks.iter().filter(|pick| pick.lane.queue == lane.queue).count() == scene.room[place];
            let gone = candidates.iter().filter(|one| seen.contains(&one.id)).count();
            prop_assert!(full || gone == candidates.len() || flow.admits(lane, 1).is_err(), "{lane:?} stood still");
        }
    }

    /// A lane goes in its own order, and no organization's more urgent job stands behind its less urgent one.
    #[test]
    fn one_organization_goes_by_priority_and_age(scene in scenes()) {
        let ranks: HashMap<JobId, f64> =
            scene.lanes.iter().flat_map(|(_, jobs)| jobs).map(|job| (job.id, job.rank)).collect();
        let mut flow = Flow::at(NOW);
        let lanes = scene.lanes.into_iter().map(|(lane, jobs)| (Lane { key: String::new(), ..lane }, jobs)).collect();
        let picks = choose(lanes, &mut flow, &mut Turns::default(), scene.room).picks;
        for queue in Queue::ALL {
            for number in 0..6 {
                let of: Vec<&Pick> =
                    picks.iter().filter(|pick| pick.lane.queue == queue && pick.lane.org == org(number)).collect();
                prop_assert!(of.windows(2).all(|two| ranks[&two[0].id] <= ranks[&two[1].id]));
                prop_assert!(of.windows(2).all(|two| two[0].score() < two[1].score()));
            }
        }
    }

    /// Organizations that all have more than enough get places in proportion to their weights.
    #[test]
    fn shares_follow_weights(weights in prop::collection::vec(1..20_i32, 2..6), room in 50..400_usize) {
        let mut flow = Flow::at(NOW);
        let mut lanes = Vec::new();
        for (number, weight) in weights.iter().enumerate() {
            let number = u8::try_from(number).unwrap();
            flow.limit(set(org(number).uuid(), Scope::Org, ""), Limit { weight: Some(*weight), ..Limit::default() });
            lanes.push((lane(0, number, "kind", ""), waiting(room, 5.0, 1.0)));
        }
        let counts = per_org(&choose(lanes, &mut flow, &mut Turns::default(), [room, 0, 0, 0]).picks);
        let total: i32 = weights.iter().sum();
        for (number, weight) in weights.iter().enumerate() {
            let got = counts.get(&org(u8::try_from(number).unwrap())).copied().unwrap_or(0);
            let due = f64::from(*weight) / f64::from(total) * f64::from(u32::try_from(room).unwrap());
            // Within one turn of each of the others, and what whole thousandths of a turn lose.
            prop_assert!((f64::from(u32::try_from(got).unwrap()) - due).abs() <= due * 0.05 + 2.0, "{got} of {due}");
        }
    }

    /// However the window was filled before, an organization with nothing in it goes before those with much.
    #[test]
    fn a_newcomer_does_not_wait_behind_a_backlog(backlog in 1..1_000_usize, small in 1..10_usize) {
        let (mut flow, mut turns) = (Flow::at(NOW), Turns::default());
        let big = vec![(lane(3, 0, "kind", ""), waiting(backlog, 5.0, 30.0))];
        let before = choose(big, &mut flow, &mut turns, [0, 0, 0, backlog]).picks;
        let mut turns = Turns::default();
        for pick in &before {
            turns.note(Queue::Default, pick.level, pick.lane.org, pick.tag, pick.tag);
        }
        let newcomer = vec![(lane(3, 1, "kind", ""), waiting(small, 5.0, 0.0))];
        let after = choose(newcomer, &mut flow, &mut turns, [0, 0, 0, small]).picks;
        // Its n-th job stands behind no more than n others.
        for (place, pick) in after.iter().enumerate() {
            let ahead = before.iter().filter(|other| other.score() < pick.score()).count();
            prop_assert!(ahead <= place + 2, "{ahead} stand before the newcomer's job {place}");
        }
    }

    /// Whatever keeps coming, what waits climbs a level every ten minutes, and none waits for ever.
    #[test]
    fn waiting_climbs(priority in 0..10_i16, waited in 0.0..100_000.0_f64) {
        let rank = NOW - waited + f64::from(priority) * 600.0;
        let reached = level(rank, NOW);
        prop_assert!((0..=priority).contains(&reached));
        let climbed = ((waited + 1.0) / 600.0).floor();
        prop_assert_eq!(f64::from(reached), (f64::from(priority) - climbed).max(0.0));
    }

    /// Over any time a rate lets through what it may and a second's worth, and no less than it may.
    #[test]
    fn a_rate_is_kept(per_minute in 1..600_i32, step_ms in 10..1_000_u32, units in 1..5_i32) {
        let subject = set(org(0).uuid(), Scope::Kind, "kind");
        let lane = lane(0, 0, "kind", "");
        let mut limit = Limit { per_minute: Some(per_minute), ..Limit::default() };
        let (mut started, mut elapsed) = (0, 0.0);
        for _ in 0..200 {
            let mut flow = Flow::at(NOW + elapsed);
            flow.limit(subject.clone(), limit);
            while flow.admits(&lane, 1).is_ok() {
                flow.take(&lane, units);
                started += units;
            }
            let paid_at = flow.paid().next().map(|(_, paid_at)| paid_at);
            limit.paid_at = paid_at.or(limit.paid_at);
            elapsed += f64::from(step_ms) / 1_000.0;
        }
        let allowed = f64::from(per_minute) / 60.0;
        // One job may be owed beyond the second's worth: a job is not cut in pieces.
        let most = allowed * (elapsed + 1.0) + f64::from(units);
        let least = (allowed * (elapsed - f64::from(step_ms) / 1_000.0)).floor() - f64::from(units);
        prop_assert!(f64::from(started) <= most + 1e-6 && f64::from(started) >= least.max(0.0), "{started} of {most}");
    }

    /// A pause holds exactly until its end.
    #[test]
    fn a_pause_ends_when_it_says(until in -100.0..100.0_f64) {
        let lane = lane(1, 0, "kind", "");
        let mut flow = Flow::at(NOW);
        let limit = Limit { paused: true, paused_until: Some(NOW + until), ..Limit::default() };
        flow.limit(set(EVERYBODY, Scope::Queue, "ai"), limit);
        prop_assert_eq!(matches!(flow.admits(&lane, 1), Err(Block::Paused(..))), until > 0.0);
    }

    /// A wait is never longer than its ceiling, and ceilings never shrink.
    #[test]
    fn backoff_stays_below_its_ceiling(attempt in 1..200_u32, random in 0.0..1.0_f64) {
        let backoff = Backoff::DEFAULT;
        prop_assert!(backoff.wait(attempt, random) <= backoff.ceiling(attempt));
        prop_assert!(backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1));
        prop_assert!(backoff.ceiling(attempt) <= Duration::from_secs(600));
    }

    /// Whatever happens to a job, in whatever order: it runs only from `queued`, and what succeeded stays so.
    #[test]
    fn no_series_of_moves_breaks_a_job(moves in prop::collection::vec(0..12_usize, 0..60)) {
        const MOVES: [Move; 12] = [
            Move::Release, Move::ReleaseNow, Move::Due, Move::Promote, Move::Claim, Move::Succeed, Move::Postpone,
            Move::Fail, Move::Cancel, Move::GiveBack, Move::Retry, Move::Revive,
        ];
        let mut state = State::Waiting;
        for by in moves.into_iter().map(|place| MOVES[place]) {
            let Some(next) = state.after(by) else { continue };
            prop_assert!(state != State::Succeeded);
            prop_assert!(next != State::Running || state == State::Queued);
            prop_assert!(!state.is_over() || matches!(by, Move::Retry | Move::Revive));
            state = next;
        }
    }
}

#[test]
fn more_urgent_goes_first_across_organizations() {
    let lanes = vec![
        (lane(0, 0, "kind", ""), waiting(3, 5.0, 1.0)),
        (lane(0, 1, "kind", ""), waiting(3, 0.0, 0.5)),
        (lane(0, 2, "kind", ""), waiting(3, 9.0, 1.0)),
    ];
    let picks = choose(lanes, &mut Flow::at(NOW), &mut Turns::default(), [9, 0, 0, 0]).picks;
    let orgs: Vec<OrgId> = picks.iter().map(|pick| pick.lane.org).collect();
    assert_eq!(orgs, [1, 1, 1, 0, 0, 0, 2, 2, 2].map(org));
    assert!(picks.windows(2).all(|two| two[0].score() < two[1].score()));
}

#[test]
fn turns_are_taken() {
    let lanes = vec![(lane(0, 0, "kind", ""), waiting(4, 5.0, 9.0)), (lane(0, 1, "kind", ""), waiting(2, 5.0, 1.0))];
    let picks = choose(lanes, &mut Flow::at(NOW), &mut Turns::default(), [9, 0, 0, 0]).picks;
    let orgs: Vec<OrgId> = picks.iter().map(|pick| pick.lane.org).collect();
    assert_eq!(orgs, [0, 1, 0, 1, 0, 0].map(org));
}
