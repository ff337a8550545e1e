//! Flow control and what jobs have to do with each other, on both deliveries.

use std::time::Duration;

use gristmill_core::ids::{BatchId, JobId, OrgId};
use gristmill_engine::{
    NewJob,
    control::{Action, Controlled},
    edges::AfterProblem,
    flow::{Block, EVERYBODY, Lane, Scope, Subject},
    limits::{self, Setting},
    prune::Retention,
    queue::Queue,
    submit::{FollowUp, Start, SubmitError, Submitted},
    unique::{OnConflict, Unique, While},
    worker::Limits,
};
use gristmill_store::db::{Tx as _, sql};
use gristmill_tests::{
    kinds::Act,
    world::{Travel, World},
};
use serde_json::json;

const SLOTS: Limits = Limits { slots: [4; 4], lease: Duration::from_secs(30), grace: Duration::ZERO };

fn play(name: &str, acts: &[Act]) -> NewJob {
    World::new_play(name, acts)
}

fn unique(name: &str, lasts: While, on_conflict: OnConflict) -> NewJob {
    NewJob { unique: Some(Unique { key: "one".into(), lasts, on_conflict }), ..play(name, &[Act::Wait]) }
}

fn after(name: &str, acts: &[Act], others: &[JobId]) -> NewJob {
    NewJob { after: others.to_vec(), ..play(name, acts) }
}

fn at_most(max_running: i32) -> Setting {
    Setting { max_running: Some(max_running), ..Setting::default() }
}

async fn running(world: &World) -> i64 {
    count(world, "jobs WHERE state = 'running'").await
}

async fn count(world: &World, of: &str) -> i64 {
    #[derive(sea_orm::FromQueryResult)]
    struct Row {
        rows: i64,
    }
    let row: Option<Row> =
        world.engine.db().now().one(sql(&format!("SELECT count(*) AS rows FROM {of}"), [])).await.unwrap();
    row.unwrap().rows
}

/// What a dispatcher would say of test jobs of `org` with `key`.
async fn block(world: &World, org: OrgId, key: &str, key_limit: i32) -> Option<Block> {
    let lane = Lane { queue: Queue::Default, org, kind: "test.play".into(), key: key.into() };
    world.engine.flow_of(&lane, None).await.unwrap().admits(&lane, key_limit).err()
}

/// Lets the dispatcher look as often as it takes to put everything on its way that may go.
async fn dispatch_all(world: &World) -> usize {
    let mut sent = 0;
    loop {
        match world.engine.dispatch().await.unwrap().sent {
            0 => return sent,
            some => sent += some,
        }
    }
}

on_both! {
    async fn an_organization_runs_no_more_than_it_may(travel: Travel) {
        let world = World::still(travel).await;
        world.limit(world.org.uuid(), Scope::Org, "", at_most(2)).await;
        for index in 0..5 {
            world.play(&format!("{index}"), &[Act::Wait]).await;
        }
        assert_eq!(dispatch_all(&world).await, 2);
        let subject = Subject { org: world.org.uuid(), scope: Scope::Org, name: String::new() };
        assert_eq!(block(&world, world.org, "", 1).await, Some(Block::Full(subject, 2)));
        world.work().await;
        world.dispatch();
        while running(&world).await < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!((dispatch_all(&world).await, running(&world).await), (0, 2));
        world.stage.open_gate();
        while count(&world, "jobs WHERE state = 'succeeded'").await < 5 {
            assert!(running(&world).await <= 2);
        }
    }

    async fn a_key_runs_one_at_a_time_in_order(travel: Travel) {
        let world = World::still(travel).await;
        let mut ids = Vec::new();
        for index in 0..4 {
            let job = NewJob { concurrency: Some(("crm:acme".into(), 1)), ..play(&format!("{index}"), &[Act::Write]) };
            ids.push(world.submit(job).await);
        }
        let other = world.play("other", &[Act::Write]).await;
        assert_eq!(dispatch_all(&world).await, 2);
        assert!(matches!(block(&world, world.org, "crm:acme", 1).await, Some(Block::Full(Subject { scope: Scope::Key, .. }, 1))));
        world.dispatch();
        world.work().await;
        let mut before = None;
        for id in ids {
            let job = world.until_state(id, "succeeded").await;
            assert!(before <= job.started_at);
            before = job.finished_at;
        }
        world.until_state(other, "succeeded").await;
    }

    async fn kinds_and_queues_have_limits(travel: Travel) {
        for (scope, name) in [(Scope::Kind, "test.play"), (Scope::Queue, "default")] {
            for org in [EVERYBODY, OrgId::generate().uuid()] {
                let world = World::still(travel).await;
                let org = if org == EVERYBODY { org } else { world.org.uuid() };
                world.limit(org, scope, name, at_most(3)).await;
                for index in 0..5 {
                    world.play(&format!("{index}"), &[Act::Wait]).await;
                }
                assert_eq!(dispatch_all(&world).await, 3);
            }
        }
    }

    async fn a_rate_lets_through_what_it_may(travel: Travel) {
        let world = World::still(travel).await;
        let rate = Setting { per_minute: Some(120), ..Setting::default() };
        world.limit(world.org.uuid(), Scope::Kind, "test.play", rate).await;
        for index in 0..10 {
            let job = NewJob { units: 2, ..play(&format!("{index}"), &[Act::Return]) };
            world.submit(job).await;
        }
        let looked = world.engine.dispatch().await.unwrap();
        // Two units a second: a second's worth may be owed, and one job goes when nothing is.
        assert_eq!(looked.sent, 2);
        assert!(looked.retry_in.unwrap() <= Duration::from_secs(1));
        assert!(matches!(block(&world, world.org, "", 1).await, Some(Block::Rate(..))));
        world.sql("UPDATE limits SET paid_at = paid_at - interval '1 second'").await;
        assert_eq!(world.engine.dispatch().await.unwrap().sent, 1);
    }

    async fn what_is_paused_stands_still_until_it_is_resumed(travel: Travel) {
        for (org_too, scope, name) in
            [(false, Scope::Queue, "default"), (true, Scope::Queue, "default"), (true, Scope::Kind, "test.play"), (true, Scope::Org, "")]
        {
            let world = World::still(travel).await;
            let org = if org_too { world.org.uuid() } else { EVERYBODY };
            let subject = Subject { org, scope, name: name.into() };
            // One that is on its way already is called back.
            let called_back = world.play("called back", &[Act::Return]).await;
            assert_eq!(dispatch_all(&world).await, 1);
            let tx = world.engine.db().system().await.unwrap();
            limits::pause(&tx, &subject, None).await.unwrap();
            tx.commit().await.unwrap();
            world.play("patient", &[Act::Return]).await;
            assert_eq!(dispatch_all(&world).await, 0);
            assert_eq!(count(&world, "window_slots WHERE job_id IS NOT NULL").await, 0);
            assert_eq!(block(&world, world.org, "", 1).await, Some(Block::Paused(subject.clone(), None)));
            let tx = world.engine.db().system().await.unwrap();
            assert!(limits::resume(&tx, &subject).await.unwrap());
            tx.commit().await.unwrap();
            assert_eq!(dispatch_all(&world).await, 2);
            world.work().await;
            world.until_state(called_back, "succeeded").await;
        }
    }

    async fn a_pause_ends_by_itself(travel: Travel) {
        let world = World::still(travel).await;
        let subject = Subject { org: EVERYBODY, scope: Scope::Queue, name: "default".into() };
        let tx = world.engine.db().system().await.unwrap();
        limits::pause(&tx, &subject, Some(gristmill_core::clock::now() + chrono::TimeDelta::hours(1))).await.unwrap();
        tx.commit().await.unwrap();
        world.play("patient", &[Act::Return]).await;
        assert_eq!(dispatch_all(&world).await, 0);
        world.sql("UPDATE limits SET paused_until = now() - interval '1 second'").await;
        assert_eq!(dispatch_all(&world).await, 1);
    }

    async fn a_small_organization_does_not_wait_behind_a_large_one(travel: Travel) {
        let world = World::still(travel).await;
        let engine = world.other_process(travel, 10).await;
        let small = world.other_org("small").await;
        for index in 0..100 {
            world.play(&format!("large {index}"), &[Act::Return]).await;
        }
        // The window is full of the large one's jobs, and stays open for the small one's.
        assert_eq!(engine.dispatch().await.unwrap().sent, 10);
        let id = world.try_submit(small, play("small", &[Act::Return])).await.unwrap().id();
        // A dispatcher that is busy with a backlog looks for newcomers a few times a second.
        let mut sent = 0;
        while sent == 0 {
            sent = engine.dispatch().await.unwrap().sent;
        }
        assert_eq!(sent, 1);
        let mut messages = engine.delivery().messages(Queue::Default, std::sync::Arc::new(|| 1));
        let mut ahead = 0;
        while futures::StreamExt::next(&mut messages).await.unwrap().unwrap().job_id != id {
            ahead += 1;
        }
        assert!(ahead <= 2, "{ahead} jobs of the large one went first");
    }

    async fn lanes_without_number_get_their_turn(travel: Travel) {
        let world = World::still(travel).await;
        // More lanes than one look sees.
        world.sql(
            "INSERT INTO jobs (id, org_id, kind, queue, state, args, max_attempts, timeout_s, concurrency_key)
             SELECT gen_random_uuid(), (SELECT id FROM organizations LIMIT 1), 'test.play', 'default', 'queued',
                 jsonb_build_object('name', 'lane', 'acts', '[\"return\"]'::jsonb), 1, 60, 'key ' || n
             FROM generate_series(1, 2500) AS n",
        )
        .await;
        world.dispatch();
        world.work_with(Limits { slots: [4, 4, 4, 50], ..SLOTS }).await;
        while count(&world, "jobs WHERE state = 'succeeded'").await < 2_500 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(world.stage.runs("lane"), 2_500);
    }

    async fn of_unique_jobs_there_is_one(travel: Travel) {
        let world = World::still(travel).await;
        let first = world.submit(unique("first", While::Running, OnConflict::Ignore)).await;
        let second = world.try_submit(world.org, unique("second", While::Running, OnConflict::Ignore)).await.unwrap();
        assert_eq!(second, Submitted::Existing(first));
        let refused = world.try_submit(world.org, unique("third", While::Running, OnConflict::Reject)).await;
        assert!(matches!(refused, Err(SubmitError::Duplicate(id)) if id == first));
        let replaced = world.try_submit(world.org, unique("fourth", While::Running, OnConflict::Replace)).await.unwrap();
        assert_eq!(replaced, Submitted::Replaced(first));
        assert_eq!(world.job(first).await.args["name"], "fourth");
        // Another organization's keys are its own.
        let stranger = world.other_org("stranger").await;
        let theirs = world.try_submit(stranger, unique("theirs", While::Running, OnConflict::Reject)).await;
        assert!(matches!(theirs, Ok(Submitted::New(_))));
        world.dispatch();
        world.work().await;
        world.stage.started("fourth", 1).await;
        let busy = world.try_submit(world.org, unique("fifth", While::Running, OnConflict::Replace)).await;
        assert!(matches!(busy, Err(SubmitError::Duplicate(id)) if id == first));
        world.stage.open_gate();
        world.until_state(first, "succeeded").await;
        let next = world.try_submit(world.org, unique("sixth", While::Running, OnConflict::Reject)).await;
        assert!(matches!(next, Ok(Submitted::New(_))));
    }

    async fn a_unique_key_lasts_as_long_as_it_says(travel: Travel) {
        let world = World::lively(travel).await;
        let queued = |name| NewJob { start: Start::Now, ..unique(name, While::Queued, OnConflict::Reject) };
        let first = world.submit(queued("first")).await;
        world.stage.started("first", 1).await;
        let second = world.try_submit(world.org, queued("second")).await;
        assert!(matches!(second, Ok(Submitted::New(_))), "one that runs does not keep the key of `queued`");
        world.stage.open_gate();
        world.until_state(first, "succeeded").await;

        let until = |acts: &[Act]| NewJob {
            unique: Some(Unique { key: "paid".into(), lasts: While::UntilSuccess, on_conflict: OnConflict::Ignore }),
            ..play("payer", acts)
        };
        let failed = world.submit(until(&[Act::GiveUp, Act::Return])).await;
        world.until_state(failed, "failed").await;
        let again = world.try_submit(world.org, until(&[Act::Return])).await.unwrap();
        assert_eq!(again, Submitted::Existing(failed));
        assert_eq!(world.act(Action::Retry, failed).await, Controlled::Done);
        world.until_state(failed, "succeeded").await;
        let next = world.try_submit(world.org, until(&[Act::Return])).await.unwrap();
        assert!(matches!(next, Submitted::New(_)));
    }

    async fn one_that_was_cancelled_cannot_come_back_beside_its_successor(travel: Travel) {
        let world = World::still(travel).await;
        let first = world.submit(unique("first", While::Running, OnConflict::Reject)).await;
        assert_eq!(world.act(Action::Cancel, first).await, Controlled::Done);
        let second = world.submit(unique("second", While::Running, OnConflict::Reject)).await;
        assert_eq!(world.act(Action::Retry, first).await, Controlled::Duplicate);
        assert_eq!(world.act(Action::Cancel, second).await, Controlled::Done);
        assert_eq!(world.act(Action::Retry, first).await, Controlled::Done);
    }

    async fn jobs_follow_others(travel: Travel) {
        let world = World::lively(travel).await;
        let first = world.play("first", &[Act::Wait]).await;
        let second = world.submit(after("second", &[Act::Return], &[first])).await;
        let third = world.submit(after("third", &[Act::Return], &[first, second])).await;
        let late = NewJob { start: Start::In(Duration::from_secs(3_600)), ..after("late", &[Act::Return], &[second]) };
        let late = world.submit(late).await;
        world.stage.started("first", 1).await;
        assert_eq!((world.job(second).await.state.as_str(), world.job(third).await.state.as_str()), ("waiting", "waiting"));
        world.stage.open_gate();
        let third = world.until_state(third, "succeeded").await;
        let (first, second) = (world.job(first).await, world.job(second).await);
        assert!(first.finished_at <= second.started_at && second.finished_at <= third.started_at);
        assert_eq!(world.history(third.id).await, ["created", "released", "started", "succeeded"]);
        // Its time is still to come.
        world.until_state(late, "scheduled").await;
    }

    async fn what_follows_a_failure_falls_and_rises_with_it(travel: Travel) {
        let world = World::lively(travel).await;
        let first = world.play("first", &[Act::GiveUp, Act::Return]).await;
        world.until_state(first, "failed").await;
        let over = world.try_submit(world.org, after("too late", &[Act::Return], &[first])).await;
        assert!(matches!(over, Err(SubmitError::After(AfterProblem::Over(id, _))) if id == first));

        assert_eq!(world.act(Action::Retry, first).await, Controlled::Done);
        world.until_state(first, "succeeded").await;
        let met = world.submit(after("met", &[Act::Return], &[first])).await;
        world.until_state(met, "succeeded").await;

        let gate = world.play("gate", &[Act::Wait]).await;
        let root = world.submit(after("root", &[Act::GiveUp, Act::Return], &[gate])).await;
        let child = world.submit(after("child", &[Act::Return], &[root])).await;
        let grandchild = world.submit(after("grandchild", &[Act::Return], &[child])).await;
        world.stage.open_gate();
        let fallen = world.until_state(grandchild, "cancelled").await;
        assert_eq!(fallen.error.unwrap()["code"], "dependency-failed");
        assert_eq!(world.act(Action::Retry, root).await, Controlled::Done);
        world.until_state(grandchild, "succeeded").await;
        let expected = ["created", "cancelled", "revived", "released", "started", "succeeded"];
        assert_eq!(world.history(grandchild).await, expected);
    }

    async fn one_that_follows_two_failures_waits_for_both(travel: Travel) {
        let world = World::lively(travel).await;
        let gate = world.play("gate", &[Act::Wait]).await;
        let one = world.submit(after("one", &[Act::GiveUp, Act::Return], &[gate])).await;
        let two = world.submit(after("two", &[Act::GiveUp, Act::Return], &[gate])).await;
        let last = world.submit(after("last", &[Act::Return], &[one, two])).await;
        world.stage.open_gate();
        world.until_state(one, "failed").await;
        world.until_state(two, "failed").await;
        world.until_state(last, "cancelled").await;
        assert_eq!(world.act(Action::Retry, last).await, Controlled::Blocked);
        assert_eq!(world.act(Action::Retry, one).await, Controlled::Done);
        world.until_state(one, "succeeded").await;
        world.until_state(last, "cancelled").await;
        assert_eq!(world.act(Action::Retry, two).await, Controlled::Done);
        world.until_state(last, "succeeded").await;
    }

    async fn what_cannot_come_back_holds_nobody_up(travel: Travel) {
        let world = World::lively(travel).await;
        let gate = world.play("gate", &[Act::Wait]).await;
        let first = world.submit(after("first", &[Act::Return], &[gate])).await;
        let keyed = NewJob { after: vec![first], ..unique("keyed", While::Running, OnConflict::Reject) };
        let keyed = world.submit(keyed).await;
        assert_eq!(world.act(Action::Cancel, first).await, Controlled::Done);
        world.until_state(keyed, "cancelled").await;
        let later = Start::In(Duration::from_secs(3_600));
        world.submit(NewJob { start: later, ..unique("heir", While::Running, OnConflict::Reject) }).await;
        assert_eq!(world.act(Action::Retry, first).await, Controlled::Done);
        // It still has the gate to wait for.
        assert_eq!(world.job(first).await.state, "waiting");
        world.stage.open_gate();
        world.until_state(first, "succeeded").await;
        // The key of what fell with it is taken: that stays where it is, and the others go on.
        let other = world.submit(after("other", &[Act::Return], &[gate])).await;
        world.until_state(other, "succeeded").await;
        assert_eq!(world.job(keyed).await.state, "cancelled");
    }

    async fn a_graph_is_handed_in_at_once_and_cycles_are_refused(travel: Travel) {
        let world = World::lively(travel).await;
        let (mut a, mut b, c) = (play("a", &[Act::Return]), play("b", &[Act::Return]), play("c", &[Act::Return]));
        b.after = vec![a.id];
        let d = after("d", &[Act::Return], &[a.id, b.id, c.id]);
        let last = d.id;
        let tx = world.engine.db().org(world.org).await.unwrap();
        // In any order.
        let answers = world.engine.submit_many(&tx, vec![d, b.clone(), a.clone(), c]).await.unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        tx.commit().await.unwrap();
        world.engine.nudge();
        world.until_state(last, "succeeded").await;

        for job in [&mut a, &mut b] {
            job.id = JobId::generate();
        }
        (a.after, b.after) = (vec![b.id], vec![a.id]);
        let (behind, unknown) = (after("behind", &[], &[a.id]), after("unknown", &[], &[JobId::generate()]));
        let tx = world.engine.db().org(world.org).await.unwrap();
        let answers = world.engine.submit_many(&tx, vec![a, b, behind, unknown, play("alone", &[Act::Return])]).await.unwrap();
        let problem = |place: usize| match &answers[place] {
            Err(SubmitError::After(problem)) => problem.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((problem(0), problem(1)), (AfterProblem::Cycle, AfterProblem::Cycle));
        assert!(matches!((problem(2), problem(3)), (AfterProblem::Refused(_), AfterProblem::Unknown(_))));
        assert!(answers[4].is_ok());
    }

    async fn follow_ups_are_handed_in(travel: Travel) {
        let world = World::lively(travel).await;
        let follow_up = |name: &str| FollowUp {
            kind: "test.play".into(),
            args: json!({ "name": name, "acts": ["return"] }),
            queue: None,
            priority: Some(1),
            tags: vec!["follow-up".into()],
        };
        let both = |name: &str, acts: &[Act]| NewJob {
            on_success: Some(follow_up(&format!("{name} succeeded"))),
            on_failure: Some(follow_up(&format!("{name} failed"))),
            ..play(name, acts)
        };
        world.submit(both("good", &[Act::Return])).await;
        world.submit(both("bad", &[Act::GiveUp])).await;
        world.stage.started("good succeeded", 1).await;
        world.stage.started("bad failed", 1).await;
        assert_eq!((world.stage.runs("good failed"), world.stage.runs("bad succeeded")), (0, 0));
        let nonsense = FollowUp { args: json!({ "name": 1 }), ..follow_up("x") };
        let refused = world.try_submit(world.org, NewJob { on_success: Some(nonsense), ..play("x", &[]) }).await;
        assert!(matches!(refused, Err(SubmitError::FollowUp("on_success", _))));
    }

    async fn a_batch_tells_its_end_once(travel: Travel) {
        let world = World::lively(travel).await;
        let batch = BatchId::generate();
        let on_complete = json!({ "kind": "test.play", "args": { "name": "complete", "acts": ["return"] } });
        let tx = world.engine.db().org(world.org).await.unwrap();
        tx.execute(sql(
            "INSERT INTO job_batches (id, org_id, total, on_complete) VALUES ($1, $2, 30, $3)",
            [batch.into(), world.org.into(), on_complete.into()],
        ))
        .await
        .unwrap();
        let acts = |index: i32| if index == 7 { vec![Act::GiveUp, Act::Return] } else { vec![Act::Return] };
        let jobs: Vec<NewJob> =
            (0..30).map(|index| NewJob { batch: Some(batch), ..play("part", &acts(index)) }).collect();
        let bad = jobs[7].id;
        assert!(world.engine.submit_many(&tx, jobs).await.unwrap().iter().all(Result::is_ok));
        tx.commit().await.unwrap();
        world.engine.nudge();
        world.stage.started("complete", 1).await;
        assert_eq!(count(&world, "job_batches WHERE succeeded = 29 AND failed = 1 AND finished_at IS NOT NULL").await, 1);
        assert_eq!(world.act(Action::Retry, bad).await, Controlled::Done);
        world.until_state(bad, "succeeded").await;
        while count(&world, "job_batches WHERE succeeded = 30 AND failed = 0").await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.stage.runs("complete"), 1);
    }

    async fn a_step_is_done_once(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("payer", &[Act::StepAndFail, Act::StepAndFail, Act::StepAndReturn]).await;
        let job = world.until_state(id, "succeeded").await;
        assert_eq!(job.result, Some(json!("receipt of attempt 1")));
        assert_eq!(*world.stage.noticed.lock().unwrap(), ["paid"]);
        assert!(world.history(id).await.contains(&"step".to_owned()));
    }

    async fn many_are_acted_on_at_once(travel: Travel) {
        let world = World::still(travel).await;
        let mut ids = Vec::new();
        for index in 0..6 {
            ids.push(world.play(&format!("{index}"), &[Act::Return]).await);
        }
        let act = async |action| {
            let tx = world.engine.db().org(world.org).await.unwrap();
            let done = world.engine.act_on(&tx, action, &ids).await.unwrap();
            tx.commit().await.unwrap();
            done.len()
        };
        assert_eq!(act(Action::SetPriority(2)).await, 6);
        assert_eq!(count(&world, "jobs WHERE priority = 2").await, 6);
        assert_eq!(world.act(Action::Cancel, ids[0]).await, Controlled::Done);
        assert_eq!((act(Action::Retry).await, act(Action::Cancel).await, act(Action::Cancel).await), (1, 6, 0));
        assert_eq!((act(Action::Delete).await, count(&world, "jobs").await, count(&world, "job_events").await), (6, 0, 0));
    }

    async fn what_is_over_goes_after_its_time_and_nothing_else(travel: Travel) {
        let world = World::lively(travel).await;
        let (good, bad) = (world.play("good", &[Act::Return]).await, world.play("bad", &[Act::GiveUp]).await);
        world.until_state(good, "succeeded").await;
        world.until_state(bad, "failed").await;
        let waiting = NewJob { start: Start::In(Duration::from_secs(3_600)), ..play("later", &[]) };
        let waiting = world.submit(waiting).await;
        let day = Duration::from_secs(86_400);
        let keep = Retention { succeeded: Duration::ZERO, failed: day, cancelled: day };
        // Jobs are looked at by the time in their ids, to the millisecond.
        while world.engine.prune(keep).await.unwrap() == 0 {}
        assert_eq!(count(&world, "jobs").await, 2);
        assert_eq!((world.job(bad).await.state.as_str(), world.job(waiting).await.state.as_str()), ("failed", "scheduled"));
        let keep = Retention { failed: Duration::ZERO, ..keep };
        assert_eq!(world.engine.prune(keep).await.unwrap(), 1);
        assert_eq!((count(&world, "jobs").await, count(&world, "job_events").await), (1, 0));
    }
}
