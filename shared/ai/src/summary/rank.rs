//! Which sentences carry a text: `LexRank` over TF-IDF cosines, then maximal marginal relevance.

use std::collections::{HashMap, HashSet};

use super::sentences::Candidate;
use crate::words::Analyser;

/// Most sentences in the graph: its matrix has the square of this many cells (1.3 MB).
const GRAPH: usize = 400;
/// Cosines below this are noise, not an edge (the value of the `LexRank` paper).
const EDGE: f64 = 0.1;
/// Share of the rank that flows along edges; the rest is spread evenly.
const DAMPING: f64 = 0.85;
const ROUNDS: usize = 50;
/// Maximal marginal relevance: weight of relevance against novelty.
const RELEVANCE: f64 = 0.6;
/// Two sentences more alike than this never stand in one summary.
const SAME: f64 = 0.5;

/// A sentence as a unit vector over term numbers, sorted by term.
type Vector = Vec<(u32, f64)>;

/// At most `most` candidates with their scores in (0, 1], in document order.
pub(crate) fn choose(candidates: &[Candidate], most: usize) -> Vec<(usize, f32)> {
    let vectors = vectors(candidates);
    let members = nearest_to_centre(&vectors);
    let graph = cosines(&members, &vectors);
    let mut scores = ranks(&graph);
    for (score, member) in scores.iter_mut().zip(&members) {
        *score *= prior(&candidates[*member], vectors[*member].len());
    }
    let best = scores.iter().copied().fold(0.0, f64::max);
    if best > 0.0 {
        for score in &mut scores {
            *score /= best;
        }
    }
    let mut chosen: Vec<(usize, f32)> = diverse(&scores, &graph, most)
        .into_iter()
        .map(|at| {
            #[expect(clippy::cast_possible_truncation, reason = "a score needs no more than f32")]
            let score = scores[at] as f32;
            (members[at], score)
        })
        .collect();
    chosen.sort_by_key(|(index, _)| *index);
    chosen
}

/// TF-IDF unit vectors. A sentence said before, word for word, gets an empty one, and so does one without content.
fn vectors(candidates: &[Candidate]) -> Vec<Vector> {
    let analyser = Analyser::new();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut frequency: Vec<f64> = Vec::new();
    let mut seen: HashSet<Vec<u32>> = HashSet::new();
    let mut counted: Vec<Vector> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let mut terms: Vec<u32> = Vec::new();
        for word in analyser.words(&candidate.text).into_iter().filter(|word| !word.stop) {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            terms.push(*numbers.entry(word.stem).or_insert(next));
        }
        frequency.resize(numbers.len(), 0.0);
        if !seen.insert(terms.clone()) {
            counted.push(Vec::new());
            continue;
        }
        terms.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "a sentence has few words")]
        let vector: Vector = terms.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as f64)).collect();
        for (term, _) in &vector {
            frequency[*term as usize] += 1.0;
        }
        counted.push(vector);
    }
    #[expect(clippy::cast_precision_loss, reason = "there are at most 4,000 candidates")]
    let total = candidates.len() as f64;
    for vector in &mut counted {
        for (term, weight) in vector.iter_mut() {
            *weight = weight.sqrt() * (1.0 + total / frequency[*term as usize]).ln();
        }
        let length = vector.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        for (_, weight) in vector.iter_mut() {
            *weight /= length;
        }
    }
    counted
}

/// The candidates that make up the graph, in document order: those most like the text as a whole.
fn nearest_to_centre(vectors: &[Vector]) -> Vec<usize> {
    let mut members: Vec<usize> = (0..vectors.len()).filter(|index| !vectors[*index].is_empty()).collect();
    if members.len() <= GRAPH {
        return members;
    }
    let mut centre: HashMap<u32, f64> = HashMap::new();
    for (term, weight) in vectors.iter().flatten() {
        *centre.entry(*term).or_default() += weight;
    }
    let likeness: Vec<f64> =
        vectors.iter().map(|vector| vector.iter().map(|(term, weight)| weight * centre[term]).sum()).collect();
    members.sort_by(|a, b| likeness[*b].total_cmp(&likeness[*a]).then(a.cmp(b)));
    members.truncate(GRAPH);
    members.sort_unstable();
    members
}

fn cosines(members: &[usize], vectors: &[Vector]) -> Vec<Vec<f64>> {
    let mut graph = vec![vec![0.0; members.len()]; members.len()];
    for a in 0..members.len() {
        graph[a][a] = 1.0;
        for b in 0..a {
            let cosine = dot(&vectors[members[a]], &vectors[members[b]]);
            graph[a][b] = cosine;
            graph[b][a] = cosine;
        }
    }
    graph
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while i < a.len() && j < b.len() {
        match a[i].0.cmp(&b[j].0) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                sum += a[i].1 * b[j].1;
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    sum
}

/// Continuous `LexRank`: the stationary share of a walk that follows edges by their cosine. No sentence has an edge to
/// itself, unlike in the paper: an aside that is like no other would hold all of its own share and so rank average.
fn ranks(graph: &[Vec<f64>]) -> Vec<f64> {
    let edge = |to: usize, from: usize| if to != from && graph[to][from] >= EDGE { graph[to][from] } else { 0.0 };
    let size = graph.len();
    #[expect(clippy::cast_precision_loss, reason = "the graph has at most 400 nodes")]
    let even = 1.0 / size.max(1) as f64;
    let weights: Vec<f64> = (0..size).map(|to| (0..size).map(|from| edge(to, from)).sum()).collect();
    let mut rank = vec![even; size];
    for _ in 0..ROUNDS {
        let next: Vec<f64> = (0..size)
            .map(|to| {
                let linked = (0..size).filter(|from| edge(to, *from) > 0.0);
                let inflow: f64 = linked.map(|from| rank[from] * edge(to, from) / weights[from]).sum();
                (1.0 - DAMPING) * even + DAMPING * inflow
            })
            .collect();
        let moved: f64 = next.iter().zip(&rank).map(|(new, old)| (new - old).abs()).sum();
        rank = next;
        if moved < 1e-6 {
            break;
        }
    }
    rank
}

/// How much a sentence is worth for where it stands and for its length. Writers say what matters first, again at the
/// end, and at the head of a paragraph; a handful of words says too little, a list of sixty too much.
fn prior(candidate: &Candidate, terms: usize) -> f64 {
    let opening = 0.6 * (-candidate.place * 8.0).exp();
    let closing = if candidate.place > 0.9 { 0.1 } else { 0.0 };
    let leading = if candidate.leads { 0.1 } else { 0.0 };
    let length = match terms {
        0..=3 => 0.4,
        4..=5 => 0.75,
        6..=30 => 1.0,
        _ => 0.7,
    };
    (1.0 + opening + closing + leading) * length
}

/// Maximal marginal relevance: the best first, then always the best that is least like what was chosen.
fn diverse(scores: &[f64], graph: &[Vec<f64>], most: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..scores.len()).collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < most {
        let likeness = |at: usize| chosen.iter().map(|other| graph[at][*other]).fold(0.0, f64::max);
        left.retain(|at| likeness(*at) <= SAME);
        let worth = |at: usize| RELEVANCE * scores[at] - (1.0 - RELEVANCE) * likeness(at);
        let Some(best) = left.iter().copied().max_by(|a, b| worth(*a).total_cmp(&worth(*b)).then(b.cmp(a))) else {
            break;
        };
        left.retain(|at| *at != best);
        chosen.push(best);
    }
    chosen
}
