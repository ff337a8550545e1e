//! The engine's promises, on both deliveries.

use std::time::Duration;

use gristmill_engine::{
    NewJob, Queue,
    control::{Action, Controlled},
    delivery::Message,
    dispatch::Dispatched,
    job::Job as _,
    submit::{Start, SubmitError},
    sweep::Swept,
    worker::Limits,
};
use gristmill_tests::{
    kinds::{Act, Dawdle, Play},
    world::{Travel, World},
};
use serde_json::json;

on_both! {
    /// From submission to result.
    async fn a_job_runs_and_tells_its_history(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("hello", &[Act::Return]).await;
        let job = world.until_state(id, "succeeded").await;
        assert_eq!((job.result, job.error, job.attempt), (Some(json!("hello")), None, 1));
        assert!(job.finished_at.is_some() && job.started_at >= Some(job.created_at));
        assert_eq!(world.history(id).await, ["created", "started", "succeeded"]);
    }

    async fn many_jobs_run_once_each(travel: Travel) {
        let world = World::lively(travel).await;
        let mut ids = Vec::new();
        for index in 0..300 {
            ids.push(world.play(&format!("job {index}"), &[Act::Write]).await);
        }
        for (index, id) in ids.into_iter().enumerate() {
            world.until_state(id, "succeeded").await;
            assert_eq!((world.stage.runs(&format!("job {index}")), world.written(id).await), (1, 1));
        }
    }

    async fn a_failure_is_tried_again_and_its_error_kept_until_it_succeeds(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("stumbler", &[Act::Fail, Act::Fail, Act::Return]).await;
        let job = world.until_state(id, "succeeded").await;
        assert_eq!((job.attempt, job.error), (3, None));
        let expected =
            ["created", "started", "retry_scheduled", "started", "retry_scheduled", "started", "succeeded"];
        assert_eq!(world.history(id).await, expected);
    }

    async fn attempts_are_used_up(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("hopeless", &[Act::Fail]).await;
        let job = world.until_state(id, "failed").await;
        let error = job.error.unwrap();
        assert_eq!((job.attempt, &error["code"], &error["attempt"]), (3, &json!("told-to"), &json!(3)));
        assert!(error["fingerprint"].as_str().unwrap().len() == 16);
    }

    async fn giving_up_is_final(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("quitter", &[Act::GiveUp]).await;
        assert_eq!(world.until_state(id, "failed").await.attempt, 1);
    }

    async fn a_snooze_uses_no_attempt(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("sleepy", &[Act::Snooze(1)]).await;
        // Five snoozes are more than the three attempts it has.
        world.stage.started("sleepy", 5).await;
        assert!(world.job(id).await.attempt <= 1);
    }

    async fn a_panic_is_a_failure_with_a_backtrace(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("clumsy", &[Act::Panic, Act::Return]).await;
        world.until_state(id, "succeeded").await;
        let events = world.events(id).await;
        let error = &events.iter().find(|event| event.r#type == "retry_scheduled").unwrap().data["error"];
        let detail = error["detail"].as_str().unwrap();
        assert!(error["code"] == "panic" && detail.starts_with("told to panic") && detail.contains("kinds.rs"), "{detail}");
    }

    async fn an_attempt_that_takes_too_long_is_ended(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.submit(NewJob::of(&Dawdle {}).unwrap()).await;
        assert_eq!(world.until_state(id, "failed").await.error.unwrap()["code"], "timeout");
    }

    async fn a_delayed_job_waits_and_can_be_promoted(travel: Travel) {
        let world = World::lively(travel).await;
        let mut job = NewJob::of(&Play { name: "later".into(), acts: vec![] }).unwrap();
        job.start = Start::In(Duration::from_secs(3_600));
        let id = world.submit(job).await;
        assert_eq!(world.job(id).await.state, "scheduled");
        let tx = world.engine.db().org(world.org).await.unwrap();
        assert_eq!(world.engine.act(&tx, Action::Promote, id).await.unwrap(), Controlled::Done);
        tx.commit().await.unwrap();
        world.engine.nudge();
        world.until_state(id, "succeeded").await;
    }

    async fn a_short_delay_ends_by_itself(travel: Travel) {
        let world = World::lively(travel).await;
        let mut job = NewJob::of(&Play { name: "soon".into(), acts: vec![] }).unwrap();
        job.start = Start::In(Duration::from_millis(300));
        let id = world.submit(job).await;
        let job = world.until_state(id, "succeeded").await;
        assert!(job.started_at.unwrap() >= job.run_at);
    }

    async fn urgent_jobs_go_first(travel: Travel) {
        let world = World::still(travel).await;
        for priority in [9, 5, 0] {
            let mut job = NewJob::of(&Play { name: format!("p{priority}"), acts: vec![Act::Return] }).unwrap();
            job.priority = priority;
            world.submit(job).await;
        }
        world.engine.dispatch().await.unwrap();
        let mut messages = world.engine.delivery().messages(Queue::Default, std::sync::Arc::new(|| 1));
        let mut order = Vec::new();
        for _ in 0..3 {
            let Ok(message) = futures::StreamExt::next(&mut messages).await.unwrap();
            order.push(world.job(message.job_id).await.priority);
        }
        assert_eq!(order, [0, 5, 9]);
    }

    async fn a_waiting_job_is_called_off_at_once(travel: Travel) {
        let world = World::still(travel).await;
        let id = world.play("unlucky", &[Act::Write]).await;
        cancel(&world, id, Controlled::Done).await;
        assert_eq!(world.job(id).await.state, "cancelled");
        let refused = Controlled::Refused(gristmill_engine::state::State::Cancelled);
        cancel(&world, id, refused).await;
    }

    async fn a_job_called_off_while_its_message_travels_does_not_run(travel: Travel) {
        let world = World::still(travel).await;
        let (doomed, other) = (world.play("doomed", &[Act::Write]).await, world.play("other", &[Act::Write]).await);
        world.engine.dispatch().await.unwrap();
        cancel(&world, doomed, Controlled::Done).await;
        world.work().await;
        world.until_state(other, "succeeded").await;
        assert_eq!((world.stage.runs("doomed"), world.job(doomed).await.state.as_str()), (0, "cancelled"));
    }

    async fn a_running_job_notices_that_it_is_called_off(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("worker", &[Act::WaitForCancel]).await;
        world.stage.started("worker", 1).await;
        cancel(&world, id, Controlled::Done).await;
        world.engine.announce_action(id);
        world.until_state(id, "cancelled").await;
        assert_eq!(*world.stage.noticed.lock().unwrap(), ["worker was called off"]);
        assert_eq!(world.history(id).await, ["created", "started", "cancel_requested", "cancelled"]);
    }

    async fn a_failed_job_can_be_retried_by_hand(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("second wind", &[Act::GiveUp, Act::Return]).await;
        world.until_state(id, "failed").await;
        let tx = world.engine.db().org(world.org).await.unwrap();
        assert_eq!(world.engine.act(&tx, Action::Retry, id).await.unwrap(), Controlled::Done);
        tx.commit().await.unwrap();
        world.engine.nudge();
        let job = world.until_state(id, "succeeded").await;
        assert_eq!((job.attempt, job.error), (2, None));
    }

    async fn what_fails_inside_the_finishing_transaction_writes_nothing(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("careless", &[Act::WriteAndFail, Act::Write]).await;
        world.until_state(id, "succeeded").await;
        assert_eq!((world.stage.runs("careless"), world.written(id).await), (2, 1));
    }

    async fn a_doubled_message_runs_its_job_once(travel: Travel) {
        let world = World::still(travel).await;
        let id = world.play("twin", &[Act::Write]).await;
        world.engine.dispatch().await.unwrap();
        world.work().await;
        world.until_state(id, "succeeded").await;
        let last = world.play("last", &[Act::Return]).await;
        // Slots of the queue begin at 30,000; their uses are counted above the lowest 16 bits.
        for dispatch_seq in [0, 30_000, 30_000 + (1 << 16), 30_000 + (2 << 16)] {
            let message = Message { score: 0, job_id: id, dispatch_seq, kind: Play::KIND.into() };
            world.engine.delivery().push(Queue::Default, &[message]).await.unwrap();
        }
        world.engine.dispatch().await.unwrap();
        world.until_state(last, "succeeded").await;
        assert_eq!((world.stage.runs("twin"), world.written(id).await), (1, 1));
    }

    async fn a_run_that_lost_its_lease_writes_nothing(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("slow", &[Act::WaitAndWrite, Act::Return]).await;
        world.stage.started("slow", 1).await;
        // As the sweeper and another worker would: the row is running, under a later fence.
        world.sql("UPDATE jobs SET fence = fence + 1").await;
        world.stage.open_gate();
        world.until(id, |_| !world.stage.noticed.lock().unwrap().is_empty()).await;
        assert_eq!(*world.stage.noticed.lock().unwrap(), ["lease-lost"]);
        assert_eq!((world.written(id).await, world.job(id).await.state.as_str()), (0, "running"));
    }

    async fn a_dead_workers_job_runs_again_and_the_crash_counts(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("orphan", &[Act::Wait, Act::Write]).await;
        world.stage.started("orphan", 1).await;
        world.sql("UPDATE jobs SET lease_until = now() - interval '1 second'").await;
        let swept = world.engine.sweep(true, Duration::from_secs(5)).await.unwrap();
        assert_eq!(swept, Swept { expired: 1, undelivered: 0 });
        world.engine.nudge();
        let job = world.until_state(id, "succeeded").await;
        assert_eq!((job.attempt, world.written(id).await), (2, 1));
        assert_eq!(world.history(id).await, ["created", "started", "worker_died", "started", "succeeded"]);
    }

    async fn a_job_that_kills_every_worker_is_buried(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("poison", &[Act::Wait]).await;
        for times in 1..=3 {
            world.stage.started("poison", times).await;
            world.until_state(id, "running").await;
            world.sql("UPDATE jobs SET lease_until = now() - interval '1 second' WHERE state = 'running'").await;
            world.engine.sweep(true, Duration::from_secs(5)).await.unwrap();
            world.engine.nudge();
        }
        let job = world.until_state(id, "failed").await;
        assert_eq!((job.attempt, &job.error.unwrap()["code"]), (3, &json!("worker-died")));
    }

    async fn a_lost_message_is_sent_again(travel: Travel) {
        let world = World::still(travel).await;
        let id = world.play("lost", &[Act::Write]).await;
        world.engine.dispatch().await.unwrap();
        // It waits in the delivery: nothing is lost.
        assert_eq!(world.engine.sweep(true, Duration::ZERO).await.unwrap(), Swept::default());
        // Somebody takes it and dies before the claim.
        let taken = futures::StreamExt::next(&mut world.engine.delivery().messages(Queue::Default, std::sync::Arc::new(|| 1))).await;
        let Ok(taken) = taken.unwrap();
        assert_eq!(taken.job_id, id);
        let swept = world.engine.sweep(true, Duration::ZERO).await.unwrap();
        assert_eq!(swept, Swept { expired: 0, undelivered: 1 });
        assert_eq!(world.engine.dispatch().await.unwrap().sent, 1);
        world.work().await;
        world.until_state(id, "succeeded").await;
        assert_eq!(world.written(id).await, 1);
    }

    async fn a_worker_that_stops_gives_its_jobs_back_at_once(travel: Travel) {
        let world = World::still(travel).await;
        world.dispatch();
        let first = world.work().await;
        let id = world.play("handed over", &[Act::Wait]).await;
        world.stage.started("handed over", 1).await;
        first.stop().await;
        assert_eq!(world.job(id).await.attempt, 0);
        world.stage.open_gate();
        world.work().await;
        let job = world.until_state(id, "succeeded").await;
        assert_eq!(job.attempt, 1);
        assert_eq!(world.history(id).await, ["created", "started", "released", "started", "succeeded"]);
    }

    async fn a_worker_that_stops_lets_jobs_end_within_its_grace(travel: Travel) {
        let world = World::still(travel).await;
        world.dispatch();
        let limits = Limits { slots: [4; 4], lease: Duration::from_secs(30), grace: Duration::from_secs(20) };
        let worker = world.work_with(limits).await;
        let id = world.play("nearly done", &[Act::Wait]).await;
        world.stage.started("nearly done", 1).await;
        let stopping = tokio::spawn(worker.stop());
        world.stage.open_gate();
        stopping.await.unwrap();
        assert_eq!(world.job(id).await.state, "succeeded");
    }

    async fn leases_are_renewed(travel: Travel) {
        let world = World::still(travel).await;
        world.dispatch();
        world.work_with(Limits { slots: [4; 4], lease: Duration::from_secs(3), grace: Duration::ZERO }).await;
        let id = world.play("long", &[Act::Wait]).await;
        world.stage.started("long", 1).await;
        let first = world.lease(id).await;
        world.until_lease(id, |lease| lease > first).await;
        let second = world.lease(id).await;
        world.until_lease(id, |lease| lease > second).await;
        world.stage.open_gate();
        assert_eq!(world.until_state(id, "succeeded").await.attempt, 1);
    }

    async fn a_run_notices_by_its_heartbeat_that_its_lease_is_lost(travel: Travel) {
        let world = World::still(travel).await;
        world.dispatch();
        world.work_with(Limits { slots: [1; 4], lease: Duration::from_secs(3), grace: Duration::ZERO }).await;
        let id = world.play("replaced", &[Act::Wait]).await;
        world.stage.started("replaced", 1).await;
        // Somebody else has it now; the only slot comes free although the gate never opens.
        world.sql("UPDATE jobs SET fence = fence + 1").await;
        let next = world.play("next", &[Act::Return]).await;
        world.until_state(next, "succeeded").await;
        assert_eq!(world.job(id).await.state, "running");
    }

    async fn a_job_that_was_called_off_is_not_given_to_another_worker(travel: Travel) {
        let world = World::still(travel).await;
        world.dispatch();
        let worker = world.work().await;
        let id = world.play("called off", &[Act::Wait]).await;
        world.stage.started("called off", 1).await;
        // The worker stops before it has noticed.
        cancel(&world, id, Controlled::Done).await;
        worker.stop().await;
        assert_eq!(world.job(id).await.state, "cancelled");
        assert_eq!(world.history(id).await, ["created", "started", "cancel_requested", "cancelled"]);
    }

    async fn what_a_job_says_stands_before_its_end(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("hasty", &[Act::SayAndReturn]).await;
        world.until_state(id, "succeeded").await;
        assert_eq!(world.history(id).await, ["created", "started", "log", "succeeded"]);
    }

    async fn progress_and_log_lines_are_kept(travel: Travel) {
        let world = World::lively(travel).await;
        let id = world.play("chatty", &[Act::Report]).await;
        let job = world.until(id, |job| job.progress.is_some()).await;
        assert_eq!(job.progress.unwrap(), json!({ "done": 1, "total": 2, "stage": "working" }));
        world.stage.open_gate();
        world.until_state(id, "succeeded").await;
        let events = world.events(id).await;
        let line = events.iter().find(|event| event.r#type == "log").unwrap();
        assert_eq!(line.data, json!({ "message": "half-way there" }));
    }

    async fn what_no_worker_knows_is_refused_and_so_are_wrong_arguments(travel: Travel) {
        let world = World::still(travel).await;
        let tx = world.engine.db().org(world.org).await.unwrap();
        let unknown = world.engine.submit(&tx, NewJob::new("test.unheard", json!({}))).await;
        assert!(matches!(unknown, Err(SubmitError::UnknownKind(kind)) if kind == "test.unheard"));
        let wrong = NewJob::new(Play::KIND, json!({ "name": "x", "acts": ["sing"] }));
        let Err(SubmitError::Args(problems)) = world.engine.submit(&tx, wrong).await else { panic!("accepted") };
        assert_eq!(problems[0].pointer, "/acts/0");
    }

    async fn the_window_bounds_what_waits_in_the_delivery(travel: Travel) {
        let world = World::still(travel).await;
        let small = world.other_process(travel, 3).await;
        for index in 0..5 {
            world.play(&format!("{index}"), &[Act::Return]).await;
        }
        for sent in [3, 0] {
            assert_eq!(small.dispatch().await.unwrap(), Dispatched { sent, more: true, retry_in: None });
        }
    }
}

async fn cancel(world: &World, id: gristmill_core::ids::JobId, expected: Controlled) {
    let tx = world.engine.db().org(world.org).await.unwrap();
    assert_eq!(world.engine.act(&tx, Action::Cancel, id).await.unwrap(), expected);
    tx.commit().await.unwrap();
}

/// The third delivery promises less of order, and the same of everything else.
#[tokio::test]
async fn through_apalis_redis_jobs_run_once_each() {
    let world = World::lively(Travel::ApalisRedis).await;
    let mut ids = Vec::new();
    for index in 0..100 {
        let acts = if index % 10 == 0 { vec![Act::Fail, Act::Write] } else { vec![Act::Write] };
        ids.push(world.play(&format!("job {index}"), &acts).await);
    }
    for id in ids {
        world.until_state(id, "succeeded").await;
        assert_eq!(world.written(id).await, 1);
    }
}

/// Redis is wiped with everything in it, before and while jobs run: it only delivers.
#[tokio::test]
async fn a_wiped_redis_loses_and_doubles_nothing() {
    let world = World::still(Travel::Redis).await;
    let mut ids = Vec::new();
    for index in 0..200 {
        ids.push(world.play(&format!("job {index}"), &[Act::Write]).await);
    }
    world.engine.dispatch().await.unwrap();
    assert_eq!(wipe(&world.prefix).await, 200);
    world.dispatch();
    world.work().await;
    let (engine, stop) = (world.engine.clone(), tokio_util::sync::CancellationToken::new());
    let ends = stop.clone();
    let sweeper = tokio::spawn(async move { engine.run_sweeper(Duration::from_secs(30), ends).await });
    for round in 0..2 {
        world.until_state(ids[round * 50], "succeeded").await;
        wipe(&world.prefix).await;
    }
    for id in ids {
        world.until_state(id, "succeeded").await;
        assert_eq!(world.written(id).await, 1);
    }
    stop.cancel();
    sweeper.await.unwrap();
}

/// Deletes every key of this test, as `FLUSHALL` would (other tests use the same server), and says how many messages
/// were lost by it.
async fn wipe(prefix: &str) -> usize {
    let url = gristmill_tests::database::setting("GRISTMILL_TEST_REDIS_URL");
    let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut lost = 0;
    for queue in Queue::ALL {
        let key = format!("{{{prefix}:{queue}}}:waiting");
        let waiting: usize = redis::cmd("ZCARD").arg(&key).query_async(&mut connection).await.unwrap();
        let _: () = redis::cmd("DEL").arg(&key).query_async(&mut connection).await.unwrap();
        lost += waiting;
    }
    lost
}
