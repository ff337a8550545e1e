//! What every delivery promises when its servers fail it: a stream that listened goes on listening.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use gristmill_engine::{Queue, delivery::Delivery};
use tokio::time::timeout;

use crate::{
    contract::next,
    servers::{Server, until},
    stage::{Stage, message, prefix, up_to},
};

/// How soon after the servers are back a message that is sent then must have come.
const SOON: Duration = Duration::from_secs(10);

/// One stream that has listened for long, and somebody who sends.
struct Scene {
    delivery: Arc<dyn Delivery>,
    messages: gristmill_engine::delivery::Messages,
    queue: Queue,
}

impl Scene {
    async fn begin(stage: &Stage, prefix: &str, queue: Queue) -> Self {
        let delivery = stage.join(prefix).await;
        let mut messages = delivery.messages(queue, up_to(4));
        delivery.push(queue, &[message(1)]).await.unwrap();
        next(&mut messages).await;
        // It is asked for another one, so it waits where a worker's would.
        assert!(timeout(Duration::from_millis(200), messages.next()).await.is_err());
        Self { delivery, messages, queue }
    }

    /// Sends until one comes. What is sent may be lost, which is the sweeper's affair.
    async fn goes_on(mut self) {
        let start = Instant::now();
        loop {
            let sent = message(1);
            let pushed = self.delivery.push(self.queue, std::slice::from_ref(&sent)).await;
            if timeout(Duration::from_millis(500), self.messages.next()).await.is_ok() {
                break;
            }
            assert!(start.elapsed() < SOON, "nothing came; the last push came to {pushed:?}");
        }
        self.delivery.check().await.unwrap();
    }
}

pub(crate) async fn survives_being_wiped(stage: Stage) {
    let scene = Scene::begin(&stage, &prefix(), Queue::Default).await;
    for server in &stage.servers {
        // Replicas and sentinels refuse it.
        let _refused = server.command::<()>("FLUSHALL").await;
    }
    scene.goes_on().await;
}

pub(crate) async fn survives_a_restart(mut stage: Stage) {
    let scene = Scene::begin(&stage, &prefix(), Queue::Default).await;
    for server in &mut stage.servers {
        server.kill();
    }
    scene.delivery.check().await.expect_err("nobody is there");
    for server in &mut stage.servers {
        server.start_again().await;
    }
    scene.goes_on().await;
}

/// Every server hangs for longer than an answer is waited for, with its connections open.
pub(crate) async fn survives_a_stall(stage: Stage) {
    let mut scene = Scene::begin(&stage, &prefix(), Queue::Default).await;
    stage.servers.iter().for_each(Server::freeze);
    let sending = async {
        let sent = message(1);
        let pushed = scene.delivery.push(scene.queue, std::slice::from_ref(&sent)).await;
        pushed.expect_err("nobody answers");
    };
    // Both are given up on; a stream that ended or yielded would end this early.
    tokio::select! {
        () = sending => {}
        yielded = scene.messages.next() => panic!("the stream yielded {yielded:?}"),
    }
    stage.servers.iter().for_each(Server::thaw);
    scene.goes_on().await;
}

pub(crate) async fn survives_the_death_of_a_master(mut stage: Stage) {
    let scene = Scene::begin(&stage, &prefix(), Queue::Default).await;
    stage.servers[0].kill();
    until("the sentinels have another master", async || {
        let asked = stage.servers[2].command("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster").await;
        asked.is_ok_and(|(_, port): (String, u16)| port == stage.servers[1].port)
            && plays(&stage.servers[1], "role:master").await
    })
    .await;
    scene.goes_on().await;

    // The old one comes back as a replica, which must not be taken for the master.
    stage.servers[0].start_again().await;
    let scene = Scene::begin(&stage, &prefix(), Queue::Default).await;
    until("the old master follows the new one", async || plays(&stage.servers[0], "role:slave").await).await;
    scene.goes_on().await;
}

/// Whether the server says so of its part. Sentinels cut every connection to a server whose part they change, this one
/// too.
async fn plays(server: &Server, part: &str) -> bool {
    server.command::<String>("INFO replication").await.is_ok_and(|said| said.contains(part))
}

/// The slot of a queue moves to another node of the cluster, with what waits in it.
pub(crate) async fn survives_a_move(stage: Stage) {
    let prefix = prefix();
    let mut scene = Scene::begin(&stage, &prefix, Queue::Default).await;
    let slot: u16 = stage.servers[0].command(&format!("CLUSTER KEYSLOT {{{prefix}:default}}:waiting")).await.unwrap();
    let mut ids: Vec<String> = Vec::new();
    for node in &stage.servers {
        ids.push(node.command("CLUSTER MYID").await.unwrap());
    }
    let from = usize::from(slot > 5_460) + usize::from(slot > 10_922);
    let to = (from + 1) % 3;
    let (source, target) = (&stage.servers[from], &stage.servers[to]);
    let () = target.command(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[from])).await.unwrap();
    let () = source.command(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[to])).await.unwrap();
    for node in [target, source] {
        let () = node.command(&format!("CLUSTER SETSLOT {slot} NODE {}", ids[to])).await.unwrap();
    }
    let sent = message(1);
    scene.delivery.push(scene.queue, std::slice::from_ref(&sent)).await.unwrap();
    assert_eq!(next(&mut scene.messages).await, sent, "nothing is lost on the way");
    let moved: usize = target.command(&format!("CLUSTER COUNTKEYSINSLOT {slot}")).await.unwrap();
    assert_eq!(moved, 0, "it was taken from where it went");
    scene.goes_on().await;
}
