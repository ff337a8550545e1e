//! How many jobs of a queue a worker runs at once, and how many it claims before it has a slot for them.
//!
//! A slot that waits for its next job to be fetched and claimed does nothing meanwhile. Where jobs take minutes that is
//! nothing; where they take 50 ms it was every sixth of them. So a worker whose jobs are short claims ahead, as many as
//! its slots get through while a claim takes. Where jobs take long it claims none: one that waits here could run
//! elsewhere. One that was claimed and finds no slot soon is given back, and ends claiming ahead until jobs are short
//! again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Jobs that take longer than this on average are not claimed ahead.
const SHORT: Duration = Duration::from_secs(1);
/// How long a claimed job waits for a slot before it is given back.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of each new observation enters a running average.
const SHARE: f64 = 0.1;

/// The room a worker has for jobs of one queue.
#[derive(Debug)]
pub(crate) struct Capacity {
    slots: usize,
    /// A permit for each job from before it is fetched until it has ended: one for each slot, and those ahead.
    places: Arc<Semaphore>,
    /// A permit for each job whose code runs.
    running: Arc<Semaphore>,
    pace: Mutex<Pace>,
}

/// A job's place in it.
pub(crate) struct Room {
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) place: OwnedSemaphorePermit,
}

/// What was seen of late, and what follows from it.
#[derive(Debug)]
struct Pace {
    /// Seconds from a message until its job is claimed.
    claim_s: f64,
    /// Seconds that a job's code runs.
    run_s: f64,
    /// Permits that `places` has, taken ones included.
    places: usize,
}

impl Capacity {
    pub(crate) fn new(slots: usize) -> Arc<Self> {
        let pace = Mutex::new(Pace { claim_s: 0.0, run_s: SHORT.as_secs_f64(), places: slots });
        let (places, running) = (Arc::new(Semaphore::new(slots)), Arc::new(Semaphore::new(slots)));
        Arc::new(Self { slots, places, running, pace })
    }

    /// What has to be had before a message is fetched.
    pub(crate) fn places(&self) -> &Arc<Semaphore> {
        &self.places
    }

    /// Notes how long a claim took, from the message on.
    pub(crate) fn claimed(&self, took: Duration) {
        self.pace().claim_s.approach(took);
    }

    /// A slot to run in; `None` when there is none for so long that the job had better go elsewhere.
    pub(crate) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(PATIENCE, self.running.clone().acquire_owned()).await.ok()?.ok()
    }

    /// Takes the place back of a job whose code ran for so long; `None` for one that never got a slot.
    pub(crate) fn ended(&self, ran: Option<Duration>, place: OwnedSemaphorePermit) {
        let mut pace = self.pace();
        match ran {
            Some(took) => pace.run_s.approach(took),
            None => pace.run_s = SHORT.as_secs_f64(),
        }
        let wanted = self.slots + ahead(self.slots, pace.claim_s, pace.run_s);
        if pace.places > wanted {
            pace.places -= 1;
            place.forget();
        } else {
            self.places.add_permits(wanted - pace.places);
            pace.places = wanted;
        }
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many jobs to claim ahead: four times what `slots` get through while a claim takes, for jobs that started together
/// end together; and never more than `slots`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "bounded by slots"
)]
fn ahead(slots: usize, claim_s: f64, run_s: f64) -> usize {
    if run_s >= SHORT.as_secs_f64() {
        return 0;
    }
    let meanwhile = 4.0 * claim_s / run_s.max(f64::EPSILON);
    (slots as f64 * meanwhile.min(1.0)).ceil() as usize
}

trait Approach {
    fn approach(&mut self, seen: Duration);
}

impl Approach for f64 {
    fn approach(&mut self, seen: Duration) {
        *self += (seen.as_secs_f64() - *self) * SHARE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(capacity: &Arc<Capacity>, took: Duration) {
        let place = capacity.places().clone().acquire_owned().await.unwrap();
        capacity.claimed(Duration::from_millis(5));
        let slot = capacity.slot().await;
        capacity.ended(slot.map(|_| took), place);
    }

    #[test]
    fn as_many_as_the_slots_get_through_while_a_claim_takes() {
        assert_eq!(ahead(100, 0.005, 0.05), 40);
        assert_eq!(ahead(100, 0.005, 0.000_01), 100);
        assert_eq!(ahead(4, 0.005, 0.9), 1);
        assert_eq!(ahead(100, 0.005, 60.0), 0);
    }

    #[tokio::test]
    async fn short_jobs_are_claimed_ahead_and_long_ones_are_not() {
        let capacity = Capacity::new(10);
        assert_eq!(capacity.places().available_permits(), 10);
        for _ in 0..100 {
            run(&capacity, Duration::from_millis(1)).await;
        }
        assert_eq!(capacity.places().available_permits(), 20);
        for _ in 0..100 {
            run(&capacity, Duration::from_secs(60)).await;
        }
        assert_eq!(capacity.places().available_permits(), 10);
    }

    #[tokio::test]
    async fn one_that_finds_no_slot_is_given_back_and_no_more_are_claimed_ahead() {
        let capacity = Capacity::new(1);
        for _ in 0..100 {
            run(&capacity, Duration::from_millis(1)).await;
        }
        let first = capacity.places().clone().acquire_owned().await.unwrap();
        let _slot = capacity.slot().await.unwrap();
        let second = capacity.places().clone().acquire_owned().await.unwrap();
        assert!(capacity.slot().await.is_none());
        capacity.ended(None, second);
        assert_eq!(capacity.places().available_permits(), 0);
        drop(first);
    }
}
