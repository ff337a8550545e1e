//! Every change of the schema can be taken back, and made again.

use gristmill_tests::database;
use sqlx::{Connection as _, PgConnection, Row as _};

/// Everything the catalogue tells of our tables: columns, indexes, constraints, policies, triggers, functions.
const SCHEMA: &str = "
    SELECT format('column %s.%s %s %s %s %s', table_name, column_name, data_type, is_nullable, column_default,
                  generation_expression) AS line
        FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('policy %s %s %s %s', tablename, policyname, qual, with_check) FROM pg_policies
    UNION ALL SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT format('function %s', pg_get_functiondef(p.oid)) FROM pg_proc AS p
        LEFT JOIN pg_depend AS d ON d.objid = p.oid AND d.deptype = 'e'
        WHERE p.pronamespace = 'public'::regnamespace AND d.objid IS NULL
    ORDER BY line";

async fn schema(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows = sqlx::query(SCHEMA).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| row.get("line")).collect()
}

/// Step by step back to nothing; each step can be made again, and leaves the same schema.
#[tokio::test]
async fn each_change_goes_back_and_forth() {
    let url = database::fresh().await;
    let url = url.reveal();
    let whole = schema(url).await;
    let changes = u32::try_from(gristmill_migrations::changes()).unwrap();
    for steps in 1..=changes {
        gristmill_migrations::revert(url, steps).await.unwrap();
        let left = schema(url).await;
        assert!(left.len() < whole.len(), "{steps} steps back took nothing away");
        gristmill_migrations::migrate(url).await.unwrap();
        let again = schema(url).await;
        let gone: Vec<_> = whole.iter().filter(|line| !again.contains(line)).collect();
        let new: Vec<_> = again.iter().filter(|line| !whole.contains(line)).collect();
        assert!(gone.is_empty() && new.is_empty(), "{steps} steps back and forth: gone {gone:#?}, new {new:#?}");
    }
    gristmill_migrations::revert(url, changes).await.unwrap();
    let left = schema(url).await;
    let ours: Vec<_> = left.iter().filter(|line| !line.contains("seaql_migrations")).collect();
    assert!(ours.is_empty(), "left behind: {ours:#?}");
}
