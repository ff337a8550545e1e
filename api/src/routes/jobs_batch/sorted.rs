//! The jobs of a batch, sorted into those that can be handed in and those that cannot; refs become ids.

use std::collections::HashMap;

use gristmill_core::ids::JobId;
use gristmill_engine::NewJob;
use serde_json::Value as Json;

use crate::{body, observe::RequestId, params, problem::ApiError, routes::jobs::JobRequest};

/// A job of a batch as it was read, and its ref, which is known even where the rest cannot be read.
#[derive(Debug)]
pub(super) struct Item {
    name: Option<String>,
    request: Result<JobRequest, ApiError>,
}

impl Item {
    /// A job that was read with all the others.
    pub(super) fn of(request: JobRequest) -> Self {
        Self { name: request.name.clone(), request: Ok(request) }
    }

    /// A job that is still to be read.
    pub(super) fn read(json: Json) -> Self {
        let name = json.get("ref").and_then(Json::as_str).map(str::to_owned);
        Self { name, request: body::part(json, "") }
    }
}

/// The jobs of a batch.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Those that can be handed in.
    pub(super) jobs: Vec<NewJob>,
    /// Where in the batch each of them stands.
    pub(super) places: Vec<usize>,
    /// Those that cannot, by their place, and why.
    pub(super) refused: Vec<(usize, ApiError)>,
    /// Refs.
    pub(super) names: HashMap<JobId, String>,
}

/// That a job cannot be accepted because of one that it is to follow.
pub(super) fn refused(name: &str) -> String {
    format!("{name}, which it is to follow, was refused")
}

impl Sorted {
    pub(super) fn of(items: Vec<Item>, request_id: &RequestId) -> Self {
        let mut slots = Vec::with_capacity(items.len());
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for (place, Item { name, request }) in items.into_iter().enumerate() {
            let mut checked = request.and_then(|request| request.check(request_id));
            if let Some(name) = name {
                if let Err(error) = params::length("/ref", Some(&name), 200) {
                    checked = Err(error);
                } else if let Some(first) = by_name.get(&name) {
                    checked = Err(ApiError::field("/ref", format!("is the ref of jobs/{first} already")));
                } else {
                    by_name.insert(name, place);
                }
            }
            slots.push(checked);
        }
        refuse_followers(&mut slots, &by_name);
        let ids: Vec<Option<JobId>> = slots.iter().map(|slot| slot.as_ref().ok().map(|(job, _)| job.id)).collect();
        let mut sorted = Self::default();
        for (place, slot) in slots.into_iter().enumerate() {
            match slot.and_then(|(job, after)| Ok(NewJob { after: followed(&after, &by_name, &ids)?, ..job })) {
                Ok(job) => {
                    sorted.jobs.push(job);
                    sorted.places.push(place);
                }
                Err(error) => sorted.refused.push((place, error)),
            }
        }
        let name = |(name, place): (String, usize)| Some((ids[place]?, name));
        sorted.names = by_name.into_iter().filter_map(name).collect();
        sorted
    }
}

type Slot = Result<(NewJob, Vec<String>), ApiError>;

/// Whoever follows a job that is refused is refused, and so on; and whoever follows what is nothing.
fn refuse_followers(slots: &mut [Slot], by_name: &HashMap<String, usize>) {
    let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (place, slot) in slots.iter_mut().enumerate() {
        let Ok((_, after)) = slot else { continue };
        for name in after.iter() {
            if let Some(of) = by_name.get(name) {
                followers.entry(*of).or_default().push(place);
            }
        }
        let nothing = |name: &&String| !by_name.contains_key(*name) && name.parse::<JobId>().is_err();
        if let Some(name) = after.iter().find(nothing) {
            let shown: String = name.chars().take(64).collect();
            *slot =
                Err(ApiError::After(format!("\"{shown}\" is neither the ref of a job of the batch nor a job's id")));
        }
    }
    let names: HashMap<usize, &str> = by_name.iter().map(|(name, place)| (*place, name.as_str())).collect();
    let mut fallen: Vec<usize> = (0..slots.len()).filter(|place| slots[*place].is_err()).collect();
    while let Some(place) = fallen.pop() {
        for follower in followers.remove(&place).unwrap_or_default() {
            if slots[follower].is_ok() {
                let name = names.get(&place).copied().unwrap_or_default();
                slots[follower] = Err(ApiError::After(refused(&format!("\"{name}\""))));
                fallen.push(follower);
            }
        }
    }
}

/// The ids of what a job is to follow.
fn followed(after: &[String], by_name: &HashMap<String, usize>, ids: &[Option<JobId>]) -> Result<Vec<JobId>, ApiError> {
    let id = |name: &String| match by_name.get(name) {
        Some(place) => ids[*place].ok_or_else(|| ApiError::After(refused(&format!("\"{name}\"")))),
        None => name.parse().map_err(|_| ApiError::After(format!("there is no job {name} to follow"))),
    };
    after.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::{Item, Sorted};
    use crate::observe::RequestId;
    use serde_json::{Value as Json, json};

    fn sorted(jobs: &[Json]) -> Sorted {
        Sorted::of(jobs.iter().cloned().map(Item::read).collect(), &RequestId("r1".to_owned()))
    }

    #[test]
    fn refs_become_ids_wherever_they_stand() {
        let jobs = [json!({ "kind": "x", "after": ["b"] }), json!({ "kind": "x", "ref": "b" })];
        let sorted = sorted(&jobs);
        assert!(sorted.refused.is_empty() && sorted.places == [0, 1]);
        assert_eq!(sorted.jobs[0].after, [sorted.jobs[1].id]);
        assert_eq!(sorted.names[&sorted.jobs[1].id], "b");
    }

    #[test]
    fn whoever_follows_what_is_refused_is_refused_to_the_end_of_the_line() {
        let mut jobs = vec![json!({ "kind": "x", "ref": "0", "priority": 10 })];
        jobs.extend((1..2_000).map(|n| json!({ "kind": "x", "ref": n.to_string(), "after": [(n - 1).to_string()] })));
        jobs.push(json!({ "kind": "x", "ref": "0" }));
        jobs.push(json!({ "kind": "x", "after": ["nobody"] }));
        jobs.push(json!({ "kind": "x", "colour": "red" }));
        jobs.push(json!({ "kind": "x" }));
        let sorted = sorted(&jobs);
        assert_eq!(sorted.places, [2_003]);
        assert_eq!(sorted.refused.len(), 2_003);
        assert!(sorted.refused[1].1.to_string().contains("\"0\", which it is to follow, was refused"));
    }
}
