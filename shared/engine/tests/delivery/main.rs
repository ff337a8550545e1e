//! The deliveries behind one contract: memory, Redis (with a password, through TLS, behind Sentinel, as a cluster), and
//! apalis-redis. Every test has servers of its own on free ports.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod connecting;
mod contract;
mod leftovers;
mod outages;
mod servers;
mod stage;

macro_rules! contract {
    ($($name:ident: $stage:expr, [$($more:ident),*];)*) => { $(
        mod $name {
            use crate::stage::Stage;

            #[tokio::test]
            async fn keeps_the_contract() {
                crate::contract::whole(&$stage.await).await;
            }

            $(#[tokio::test]
            async fn $more() {
                crate::outages::$more($stage.await).await;
            })*
        }
    )* };
}

contract! {
    memory: Stage::memory(), [];
    redis: Stage::redis(&[]), [survives_being_wiped, survives_a_restart, survives_a_stall];
    redis_with_a_password: Stage::password(), [survives_a_restart];
    redis_through_tls: Stage::tls(), [survives_being_wiped, survives_a_restart, survives_a_stall];
    redis_of_old: Stage::redis(&["--rename-command", "BZMPOP", ""]), [survives_a_restart];
    sentinel: Stage::sentinel(), [survives_being_wiped, survives_the_death_of_a_master, survives_a_stall];
    cluster: Stage::cluster(), [survives_being_wiped, survives_a_restart, survives_a_stall, survives_a_move];
    apalis_redis: Stage::apalis(), [survives_being_wiped, survives_a_restart, survives_a_stall];
    apalis_redis_behind_sentinel: Stage::apalis_behind_sentinel(), [survives_the_death_of_a_master];
}
