//! What every delivery promises while nothing is wrong.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use gristmill_core::ids::JobId;
use gristmill_engine::{
    Queue,
    delivery::{Announcement, Delivery, Message, Messages},
};
use tokio::time::timeout;

use crate::{
    servers::{PATIENCE, until},
    stage::{Stage, message, prefix, up_to},
};

/// The next message.
pub(crate) async fn next(messages: &mut Messages) -> Message {
    let Ok(message) = timeout(PATIENCE, messages.next()).await.expect("a message comes").expect("there is no end");
    message
}

/// All of it, each part with keys of its own.
pub(crate) async fn whole(stage: &Stage) {
    messages_come_in_order(&stage.join(&prefix()).await).await;
    queues_do_not_mix(&stage.join(&prefix()).await).await;
    a_message_handed_over_again_waits_once(&stage.join(&prefix()).await).await;
    it_tells_what_it_holds(&stage.join(&prefix()).await).await;
    no_more_is_taken_than_is_wanted(&stage.join(&prefix()).await).await;
    what_was_not_passed_on_goes_back(&stage.join(&prefix()).await).await;
    a_message_wakes_who_listens(&stage.join(&prefix()).await).await;
    let prefix = prefix();
    listeners_share(&stage.join(&prefix).await, &stage.join(&prefix).await).await;
    two_thousand_messages_come_once_each(&stage.join(&prefix).await, &stage.join(&prefix).await).await;
    announcements_are_heard(&stage.join(&prefix).await, &stage.join(&prefix).await).await;
    stage.join(&prefix).await.check().await.unwrap();
}

async fn messages_come_in_order(delivery: &Arc<dyn Delivery>) {
    // Both ends of what a score may be, neighbours, and equals.
    let scores = [7, -(1 << 53), 1 << 53, (1 << 53) - 1, 0, -7, 1_800_000_000_124, 1_800_000_000_123, 7];
    let mut sent: Vec<Message> = scores.into_iter().chain(1_000..1_100).map(message).collect();
    delivery.push(Queue::Ai, &sent).await.unwrap();
    let mut messages = delivery.messages(Queue::Ai, up_to(10));
    let mut came = Vec::new();
    for _ in &sent {
        came.push(next(&mut messages).await);
    }
    sent.sort();
    if !delivery.keeps_order() {
        came.sort();
    }
    assert_eq!(came, sent, "every message comes as it was sent");
}

async fn queues_do_not_mix(delivery: &Arc<dyn Delivery>) {
    delivery.push(Queue::Io, &[]).await.unwrap();
    assert_eq!(delivery.waiting().await.unwrap(), [0; 4]);
    let sent: BTreeMap<Queue, Message> = Queue::ALL.into_iter().map(|queue| (queue, message(1))).collect();
    for (queue, message) in &sent {
        delivery.push(*queue, std::slice::from_ref(message)).await.unwrap();
    }
    delivery.push(Queue::Io, &[message(2), message(3)]).await.unwrap();
    assert_eq!(delivery.waiting().await.unwrap(), [1, 1, 3, 1]);
    for queue in [Queue::Ingest, Queue::Ai, Queue::Default] {
        assert_eq!(next(&mut delivery.messages(queue, up_to(1))).await, sent[&queue]);
    }
    assert_eq!(delivery.waiting().await.unwrap(), [0, 0, 3, 0]);
}

async fn a_message_handed_over_again_waits_once(delivery: &Arc<dyn Delivery>) {
    let (first, last) = (message(1), message(9));
    let later = Message { score: 2, ..first.clone() };
    delivery.push(Queue::Default, std::slice::from_ref(&first)).await.unwrap();
    delivery.push(Queue::Default, &[first.clone(), later]).await.unwrap();
    assert_eq!(delivery.waiting().await.unwrap()[Queue::Default as usize], 1);
    let mut messages = delivery.messages(Queue::Default, up_to(1));
    let came = next(&mut messages).await;
    assert_eq!((came.job_id, came.dispatch_seq), (first.job_id, first.dispatch_seq));
    delivery.push(Queue::Default, std::slice::from_ref(&last)).await.unwrap();
    assert_eq!(next(&mut messages).await, last, "nothing came between");
}

async fn it_tells_what_it_holds(delivery: &Arc<dyn Delivery>) {
    let (here, never) = (message(1), message(1));
    let older = Message { dispatch_seq: here.dispatch_seq - 1, ..here.clone() };
    // Whoever asks need not know where it stands in the queue.
    let elsewhere = Message { score: 77, ..here.clone() };
    let asked = [here.clone(), never, older, elsewhere];
    assert_eq!(delivery.holds(Queue::Ai, &[]).await.unwrap(), Vec::<bool>::new());
    assert_eq!(delivery.holds(Queue::Ai, &asked).await.unwrap(), [false; 4]);
    delivery.push(Queue::Ai, std::slice::from_ref(&here)).await.unwrap();
    assert_eq!(delivery.holds(Queue::Ai, &asked).await.unwrap(), [true, false, false, true]);
    assert_eq!(delivery.holds(Queue::Io, &asked).await.unwrap(), [false; 4]);
    next(&mut delivery.messages(Queue::Ai, up_to(1))).await;
    assert_eq!(delivery.holds(Queue::Ai, &asked).await.unwrap(), [false; 4]);
}

async fn no_more_is_taken_than_is_wanted(delivery: &Arc<dyn Delivery>) {
    let sent: Vec<Message> = (0..100).map(message).collect();
    delivery.push(Queue::Io, &sent).await.unwrap();
    let waiting = async || delivery.waiting().await.unwrap()[Queue::Io as usize];
    let mut greedy = delivery.messages(Queue::Io, up_to(5));
    next(&mut greedy).await;
    assert!((95..100).contains(&waiting().await), "{} wait", waiting().await);
    // A stream that nobody asks takes nothing.
    let idle = delivery.messages(Queue::Io, up_to(50));
    next(&mut greedy).await;
    assert!((95..100).contains(&waiting().await), "{} wait", waiting().await);
    drop(idle);
}

async fn what_was_not_passed_on_goes_back(delivery: &Arc<dyn Delivery>) {
    let sent: Vec<Message> = (0..20).map(message).collect();
    delivery.push(Queue::Ingest, &sent).await.unwrap();
    let mut short = delivery.messages(Queue::Ingest, up_to(10));
    let first = next(&mut short).await;
    drop(short);
    let mut messages = delivery.messages(Queue::Ingest, up_to(1));
    let mut came = HashSet::from([first]);
    for _ in 1..sent.len() {
        came.insert(next(&mut messages).await);
    }
    assert_eq!(came, sent.into_iter().collect());
}

async fn a_message_wakes_who_listens(delivery: &Arc<dyn Delivery>) {
    let mut messages = delivery.messages(Queue::Default, up_to(64));
    let listening = tokio::spawn(async move { next(&mut messages).await });
    let sent = message(1);
    delivery.push(Queue::Default, std::slice::from_ref(&sent)).await.unwrap();
    assert_eq!(listening.await.unwrap(), sent);
}

async fn listeners_share(here: &Arc<dyn Delivery>, there: &Arc<dyn Delivery>) {
    here.push(Queue::Ai, &[message(1), message(2)]).await.unwrap();
    let (mut ours, mut theirs) = (here.messages(Queue::Ai, up_to(1)), there.messages(Queue::Ai, up_to(1)));
    let (one, other) = (next(&mut ours).await, next(&mut theirs).await);
    assert_ne!(one.job_id, other.job_id);
}

async fn two_thousand_messages_come_once_each(here: &Arc<dyn Delivery>, there: &Arc<dyn Delivery>) {
    let sent: Vec<Message> = (0..2_000).map(message).collect();
    let streams = [here, there].into_iter().flat_map(|one| (0..one.streams()).map(move |_| one));
    let streams: Vec<Messages> = streams.map(|one| one.messages(Queue::Default, up_to(20))).collect();
    let mut all = futures::stream::select_all(streams);
    let pushing = async {
        for some in sent.chunks(500) {
            here.push(Queue::Default, some).await.unwrap();
        }
    };
    let listening = async {
        let mut came = Vec::new();
        while came.len() < sent.len() {
            let Ok(message) = timeout(PATIENCE, all.next()).await.expect("another one comes").expect("there is no end");
            came.push(message);
        }
        came
    };
    let (mut came, ()) = tokio::join!(listening, pushing);
    came.sort();
    assert_eq!(came, sent);
    assert_eq!(here.waiting().await.unwrap(), [0; 4]);
}

async fn announcements_are_heard(here: &Arc<dyn Delivery>, there: &Arc<dyn Delivery>) {
    let changes = [true, false].map(|by_hand| Announcement { job: JobId::generate(), by_hand });
    let heard = [here, there].map(|one| tokio::sync::Mutex::new(one.announcements()));
    here.announce(&[]).await.unwrap();
    for listener in &heard {
        // Best effort: whoever has only just begun to listen may miss some.
        until("the announcements are heard", async || {
            here.announce(&changes).await.unwrap();
            let mut listener = listener.lock().await;
            matches!(timeout(Duration::from_millis(100), listener.next()).await, Ok(Some(one)) if one == changes[0])
        })
        .await;
        assert_eq!(listener.lock().await.next().await, Some(changes[1]));
    }
}
