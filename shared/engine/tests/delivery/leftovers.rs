//! What deliveries leave behind in Redis: nothing.

use gristmill_engine::Queue;

use crate::{
    contract::next,
    servers::until,
    stage::{Stage, message, prefix, up_to},
};

#[tokio::test]
async fn apalis_redis_keeps_nothing_of_what_was_handed_over() {
    let stage = Stage::apalis().await;
    let delivery = stage.join(&prefix()).await;
    let sent: Vec<_> = (0..1_200).map(message).collect();
    delivery.push(Queue::Ai, &sent).await.unwrap();
    let mut messages = delivery.messages(Queue::Ai, up_to(1));
    for _ in &sent {
        next(&mut messages).await;
    }
    // These are one each, however many messages there were.
    let counted = |key: &String| !(key.ends_with(":signal") || key == "core:apalis:queues:list");
    let keys = async || {
        let keys: Vec<String> = stage.servers[0].command("KEYS *").await.unwrap();
        keys.into_iter().filter(counted).collect::<Vec<_>>()
    };
    until("only the worker is left", async || keys().await.iter().all(|key| key.contains(":workers"))).await;
    drop(messages);
    until("the worker is signed off", async || keys().await.is_empty()).await;
}

#[tokio::test]
async fn apalis_redis_gives_a_dead_workers_message_to_another() {
    let stage = Stage::apalis().await;
    let prefix = prefix();
    let delivery = stage.join(&prefix).await;
    let queue = format!("{prefix}:apalis:ai");
    // As a process leaves it that was killed when it had fetched a message and not handed it over.
    let sent = message(1);
    delivery.push(Queue::Ai, std::slice::from_ref(&sent)).await.unwrap();
    let id = format!("{}.{}", sent.job_id, sent.dispatch_seq);
    let server = &stage.servers[0];
    let () = server.command(&format!("ZREM {queue}:scheduled {id}")).await.unwrap();
    let () = server.command(&format!("SADD {queue}:inflight:dead {id}")).await.unwrap();
    let () = server.command(&format!("ZADD {queue}:workers 1 dead")).await.unwrap();
    assert_eq!(delivery.holds(Queue::Ai, std::slice::from_ref(&sent)).await.unwrap(), [false]);
    assert_eq!(next(&mut delivery.messages(Queue::Ai, up_to(1))).await, sent);
}

#[tokio::test]
async fn what_nobody_can_read_is_dropped_and_holds_nothing_up() {
    let stage = Stage::redis(&[]).await;
    let prefix = prefix();
    let delivery = stage.join(&prefix).await;
    let () = stage.servers[0].command(&format!("ZADD {{{prefix}:ai}}:waiting 0 junk 1 more-junk")).await.unwrap();
    let sent = message(5);
    delivery.push(Queue::Ai, std::slice::from_ref(&sent)).await.unwrap();
    assert_eq!(next(&mut delivery.messages(Queue::Ai, up_to(2))).await, sent);

    let stage = Stage::apalis().await;
    let delivery = stage.join(&prefix).await;
    delivery.push(Queue::Ai, &[message(1), sent.clone()]).await.unwrap();
    let queue = format!("{prefix}:apalis:ai");
    let ids: Vec<String> = stage.servers[0].command(&format!("ZRANGE {queue}:scheduled 0 0")).await.unwrap();
    let () = stage.servers[0].command(&format!("HSET {queue}:data {} junk", ids[0])).await.unwrap();
    assert_eq!(next(&mut delivery.messages(Queue::Ai, up_to(2))).await, sent);
}
