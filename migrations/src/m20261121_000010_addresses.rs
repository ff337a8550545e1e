//! At which addresses documents are found.

use sea_orm_migration::prelude::*;

use crate::tenancy::wall;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(UP).await?;
        db.execute_unprepared(&wall("document_addresses", "org_id")).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE document_addresses").await?;
        Ok(())
    }
}

/// A digest stands for the address: an index holds no longer text than 2,700 bytes, and an equality of plain columns is
/// what an index may answer behind row-level security.
const UP: &str = "
    CREATE TABLE document_addresses (
        org_id       uuid NOT NULL,
        -- SHA-256 of it, without its fragment.
        address      bytea NOT NULL,
        document_id  uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
        -- By its owner; otherwise it turned out to be there.
        handed_in    boolean NOT NULL,
        PRIMARY KEY (org_id, address, document_id)
    );
    CREATE INDEX document_addresses_of_document ON document_addresses (document_id);
    -- The wall around documents holds their owner too; this lets the transaction see over it.
    SET LOCAL gristmill.system = 'on';
    INSERT INTO document_addresses (org_id, address, document_id, handed_in)
        SELECT DISTINCT d.org_id, sha256(convert_to(split_part(v.source->>'url', '#', 1), 'UTF8')), d.id, true
          FROM documents d JOIN document_versions v ON v.id = d.latest_version_id
         WHERE v.source->>'type' = 'url' AND v.source->>'url' IS NOT NULL;
    SET LOCAL gristmill.system = 'off';
";
