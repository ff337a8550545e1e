//! The table of states holds in the database too, whatever statement moves a job.

use gristmill_core::ids::JobId;
use gristmill_engine::state::{Move, State};
use gristmill_store::db::{Tx as _, sql};
use gristmill_tests::world::{Travel, World};

#[tokio::test]
async fn postgres_refuses_what_the_table_does_not_list() {
    let world = World::still(Travel::Memory).await;
    let now = world.engine.db().now();
    for from in State::ALL {
        for to in State::ALL {
            let id = JobId::generate();
            let insert = "INSERT INTO jobs (id, org_id, kind, queue, state, args, max_attempts, timeout_s)
                VALUES ($1, $2, 'test.play', 'default', $3, '{}', 1, 60)";
            now.execute(sql(insert, [id.into(), world.org.into(), from.name().into()])).await.unwrap();
            let update = "UPDATE jobs SET state = $2 WHERE id = $1";
            let moved = now.execute(sql(update, [id.into(), to.name().into()])).await;
            let listed = from == to || Move::ALL.into_iter().any(|by| from.after(by) == Some(to));
            assert_eq!(moved.is_ok(), listed, "from {from} to {to}: {moved:?}");
        }
    }
}
