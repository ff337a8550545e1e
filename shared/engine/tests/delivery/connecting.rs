//! What is said when Redis cannot be used, before anything has begun.

use gristmill_core::secret::Secret;
use gristmill_engine::{
    Queue,
    delivery::{ApalisDelivery, DeliveryError, RedisDelivery, Servers},
};

use crate::{
    contract::next,
    servers::{Authority, Server, free_port},
    stage::{Stage, message, prefix, up_to},
};

async fn refused(url: &str, authority: Option<&str>) -> DeliveryError {
    let authority = authority.map(|pem| pem.as_bytes().to_vec());
    match Servers::parse(&Secret::new(url), authority) {
        Ok(servers) => RedisDelivery::connect_to(servers, "test").await.expect_err("it is of no use"),
        Err(error) => error.into(),
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_from_no_server() {
    let server = Server::with_password("sesame", &[]).await;
    let (port, nobody) = (server.port, free_port());
    for login in ["", ":wrong@", "nobody:sesame@"] {
        let error = refused(&format!("redis://{login}127.0.0.1:{port}"), None).await;
        assert!(matches!(error, DeliveryError::Refused(_)), "{login}: {error}");
        assert!(!error.to_string().contains("sesame") && !error.to_string().contains("wrong@"), "{error}");
    }
    let error = refused(&format!("redis://127.0.0.1:{nobody}"), None).await;
    assert!(matches!(error, DeliveryError::Unreachable(_)), "{error}");
    let error = refused(&format!("redis+cluster://127.0.0.1:{nobody},127.0.0.1:{nobody}"), None).await;
    assert!(matches!(error, DeliveryError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_server_whose_certificate_nobody_vouches_for_is_not_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::with_tls(&ours).await;
    let error = refused(&server.url(), Some(&theirs.pem)).await;
    assert!(error.to_string().contains("certificate"), "{error}");
    let error = refused(&server.url(), None).await;
    assert!(error.to_string().contains("certificate"), "{error}");
    let error = refused(&server.url(), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).await;
    assert!(matches!(error, DeliveryError::Address(_)), "{error}");
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_named_as_the_cause() {
    let master = Server::start(&[]).await;
    let sentinel = Server::sentinel(&master, "unused").await;
    let url = |name: &str| format!("redis+sentinel://127.0.0.1:{}/{name}", sentinel.port);
    let error = refused(&url("another"), None).await;
    assert!(matches!(error, DeliveryError::NoMaster(_)), "{error}");
    let nobody = free_port();
    let error = refused(&format!("redis+sentinel://127.0.0.1:{nobody}/mymaster"), None).await;
    assert!(matches!(error, DeliveryError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn apalis_redis_refuses_a_cluster() {
    let servers = Servers::parse(&Secret::new("redis+cluster://127.0.0.1:1"), None).unwrap();
    let error = ApalisDelivery::connect_to(servers, "test").await.expect_err("it would not work");
    assert!(matches!(error, DeliveryError::Unsupported(_)), "{error}");
}

#[tokio::test]
async fn one_living_node_of_a_cluster_is_enough_to_find_the_others() {
    let mut stage = Stage::cluster().await;
    let prefix = prefix();
    let here = stage.join(&prefix).await;
    let counted = here.waiting().await.unwrap();
    assert_eq!(counted, [0; 4]);
    // Whichever node has the queue, two of three queues' nodes stay: only what the dead one has is out of reach.
    stage.servers[0].kill();
    let mut reached = 0;
    for queue in Queue::ALL {
        let sent = message(1);
        if here.push(queue, std::slice::from_ref(&sent)).await.is_ok() {
            assert_eq!(next(&mut here.messages(queue, up_to(1))).await, sent);
            reached += 1;
        }
    }
    let slots: Vec<u16> = {
        let mut slots = Vec::new();
        for queue in Queue::ALL {
            let key = format!("CLUSTER KEYSLOT {{{prefix}:{queue}}}:waiting");
            slots.push(stage.servers[1].command(&key).await.unwrap());
        }
        slots
    };
    assert_eq!(reached, slots.iter().filter(|slot| **slot > 5_460).count(), "slots {slots:?}");
}
