//! The window: the ids that are on their way to a worker, a slot of a table each.
//!
//! A slot is taken when its job is dispatched and free again when the job is claimed, or its message counts as lost. The
//! rows are used again and again and no index covers what changes, so the table stays as small as it is made, and it is
//! not logged: what a crash of Postgres forgets is simply dispatched again.

use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Result,
    db::{SystemTx, Tx, sql},
};
use sea_orm::FromQueryResult;

use crate::{
    delivery::Message,
    flow::Lane,
    pick::{Pick, place},
    queue::Queue,
};

/// Slots of one queue are numbered from its place in [`Queue::ALL`] times this.
const PER_QUEUE: i32 = 10_000;
/// Low bits of a message's dispatch that name its slot.
const SLOT_BITS: u32 = 16;

/// What a message is known by: how often its slot was used, and the slot.
fn dispatch_seq(seq: i64, slot: i32) -> i64 {
    (seq << SLOT_BITS) | i64::from(slot)
}

/// The slot of a message.
pub(crate) fn slot_of(message: &Message) -> i32 {
    i32::try_from(message.dispatch_seq & ((1 << SLOT_BITS) - 1)).unwrap_or(-1)
}

/// How often the slot of a message had been used.
pub(crate) fn seq_of(message: &Message) -> i64 {
    message.dispatch_seq >> SLOT_BITS
}

/// Jobs of one lane and level that are in the window.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Group {
    queue: String,
    org_id: Option<OrgId>,
    kind: Option<String>,
    concurrency_key: Option<String>,
    pub(crate) level: Option<i16>,
    pub(crate) jobs: i64,
    pub(crate) lowest: Option<i64>,
    pub(crate) highest: Option<i64>,
}

impl Group {
    /// The lane; `None` for free slots.
    pub(crate) fn lane(&self) -> Option<Lane> {
        Some(Lane {
            queue: self.queue.parse().ok()?,
            org: self.org_id?,
            kind: self.kind.clone()?,
            key: self.concurrency_key.clone()?,
        })
    }
}

/// What is in the window, but for one job if so asked.
pub(crate) async fn groups(tx: &impl Tx, but_for: Option<JobId>) -> Result<Vec<Group>> {
    tx.all(sql(
        "SELECT queue, org_id, kind, concurrency_key, level, count(*) AS jobs, min(tag) AS lowest, max(tag) AS highest
         FROM window_slots WHERE job_id <> $1 GROUP BY queue, org_id, kind, concurrency_key, level",
        [but_for.map_or(uuid::Uuid::nil(), JobId::uuid).into()],
    ))
    .await
}

/// Puts `picks`, all of `queue`, into free slots, and returns the messages to be sent. Slots that are missing are made.
pub(crate) async fn fill(tx: &SystemTx, queue: Queue, picks: &[&Pick]) -> Result<Vec<Message>> {
    let mut slots = free_slots(tx, queue, picks.len()).await?;
    if slots.len() < picks.len() {
        make(tx, queue, picks.len() - slots.len()).await?;
        slots = free_slots(tx, queue, picks.len()).await?;
    }
    let filled: Vec<(&Slot, &Pick)> = slots.iter().zip(picks.iter().copied()).collect();
    let texts = |of: fn(&Pick) -> &String| -> Vec<String> { filled.iter().map(|(_, pick)| of(pick).clone()).collect() };
    tx.execute(sql(
        "UPDATE window_slots AS w
         SET seq = w.seq + 1, job_id = p.job_id, org_id = p.org_id, kind = p.kind, concurrency_key = p.concurrency_key,
             level = p.level, tag = p.tag, sent_at = now()
         FROM unnest($1::int[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::int[], $7::bigint[])
             AS p(slot, job_id, org_id, kind, concurrency_key, level, tag)
         WHERE w.slot = p.slot",
        [
            filled.iter().map(|(slot, _)| slot.slot).collect::<Vec<_>>().into(),
            filled.iter().map(|(_, pick)| pick.id.uuid()).collect::<Vec<_>>().into(),
            filled.iter().map(|(_, pick)| pick.lane.org.uuid()).collect::<Vec<_>>().into(),
            texts(|pick| &pick.lane.kind).into(),
            texts(|pick| &pick.lane.key).into(),
            filled.iter().map(|(_, pick)| i32::from(pick.level)).collect::<Vec<_>>().into(),
            filled.iter().map(|(_, pick)| pick.tag).collect::<Vec<_>>().into(),
        ],
    ))
    .await?;
    let message = |(slot, pick): &(&Slot, &Pick)| Message {
        score: pick.score(),
        job_id: pick.id,
        dispatch_seq: dispatch_seq(slot.seq + 1, slot.slot),
        kind: pick.lane.kind.clone(),
    };
    Ok(filled.iter().map(message).collect())
}

#[derive(FromQueryResult)]
struct Slot {
    slot: i32,
    seq: i64,
}

async fn free_slots(tx: &SystemTx, queue: Queue, most: usize) -> Result<Vec<Slot>> {
    tx.all(sql(
        "SELECT slot, seq FROM window_slots WHERE queue = $1 AND job_id IS NULL ORDER BY slot LIMIT $2
         FOR UPDATE SKIP LOCKED",
        [queue.name().into(), i64::try_from(most).unwrap_or(i64::MAX).into()],
    ))
    .await
}

async fn make(tx: &SystemTx, queue: Queue, slots: usize) -> Result<()> {
    let first = i32::try_from(place(queue)).unwrap_or(0) * PER_QUEUE;
    let slots = i32::try_from(slots).unwrap_or(PER_QUEUE).min(PER_QUEUE);
    tx.execute(sql(
        "INSERT INTO window_slots (slot, queue)
         SELECT slot, $1 FROM (SELECT coalesce(max(slot) + 1, $2) AS next FROM window_slots WHERE queue = $1) AS used,
             generate_series(used.next, least(used.next + $3, $2 + $4) - 1) AS slot
         ON CONFLICT DO NOTHING",
        [queue.name().into(), first.into(), slots.into(), PER_QUEUE.into()],
    ))
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Sent {
    slot: i32,
    seq: i64,
    queue: String,
    job_id: JobId,
    kind: String,
    level: i16,
    tag: i64,
    org_id: OrgId,
    concurrency_key: String,
}

/// Messages that were sent so long ago, by queue.
pub(crate) async fn sent_before(tx: &impl Tx, seconds: f64) -> Result<Vec<(Queue, Message)>> {
    let sent: Vec<Sent> = tx
        .all(sql(
            "SELECT slot, seq, queue, job_id, kind, level, tag, org_id, concurrency_key FROM window_slots
             WHERE job_id IS NOT NULL AND sent_at <= now() - make_interval(secs => $1)",
            [seconds.into()],
        ))
        .await?;
    let message = |sent: Sent| {
        let queue: Queue = sent.queue.parse().ok()?;
        let lane = Lane { queue, org: sent.org_id, kind: sent.kind.clone(), key: sent.concurrency_key };
        let score = Pick { id: sent.job_id, lane, level: sent.level, tag: sent.tag }.score();
        let dispatch_seq = dispatch_seq(sent.seq, sent.slot);
        Some((queue, Message { score, job_id: sent.job_id, dispatch_seq, kind: sent.kind }))
    };
    Ok(sent.into_iter().filter_map(message).collect())
}

/// Frees the slots of messages that are lost. One that a worker is claiming this moment is locked, and skipped.
pub(crate) async fn free(tx: &impl Tx, lost: &[Message]) -> Result<usize> {
    let freed = tx
        .execute(sql(
            "UPDATE window_slots AS w SET job_id = NULL FROM (
                 SELECT s.slot FROM unnest($1::int[], $2::bigint[]) AS l(slot, seq)
                 JOIN window_slots AS s ON s.slot = l.slot AND s.seq = l.seq
                 WHERE s.job_id IS NOT NULL ORDER BY s.slot FOR UPDATE OF s SKIP LOCKED) AS lost
             WHERE w.slot = lost.slot",
            [lost.iter().map(slot_of).collect::<Vec<_>>().into(), lost.iter().map(seq_of).collect::<Vec<_>>().into()],
        ))
        .await?;
    Ok(usize::try_from(freed).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::{dispatch_seq, seq_of, slot_of};
    use crate::delivery::Message;
    use gristmill_core::ids::JobId;

    #[test]
    fn a_dispatch_names_its_slot_and_its_use() {
        for (seq, slot) in [(0, 0), (1, 39_999), (1 << 40, 10_000)] {
            let dispatch_seq = dispatch_seq(seq, slot);
            let message = Message { score: 0, job_id: JobId::generate(), dispatch_seq, kind: String::new() };
            assert_eq!((seq_of(&message), slot_of(&message)), (seq, slot));
        }
    }
}
