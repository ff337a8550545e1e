//! Decision trees, summed: what gradient boosting has learned, read from a table of numbers.
//!
//! A tree is written in preorder: `F<figure>:<threshold>` for a question (is the figure at most the threshold?), whose
//! "yes" follows first, and a bare number for an answer. Answers of all trees are added; the logistic function makes a
//! probability of the sum.

/// A question or an answer.
#[derive(Debug, Clone, Copy)]
struct Node {
    figure: u16,
    /// Where "no" leads; 0 for an answer.
    no: u16,
    /// The threshold, or the answer.
    value: f32,
}

/// Trees whose answers are added.
#[derive(Debug, Default)]
pub(super) struct Forest {
    trees: Vec<Vec<Node>>,
}

impl Forest {
    /// Reads a forest, one tree a line; none if it is not one.
    pub(super) fn parse<'l>(lines: impl Iterator<Item = &'l str>) -> Option<Self> {
        let mut trees = Vec::new();
        for line in lines {
            let mut nodes = Vec::new();
            let mut waiting = Vec::new();
            for word in line.split(' ') {
                let question = word.strip_prefix('F').and_then(|rest| rest.split_once(':'));
                if let Some((figure, threshold)) = question {
                    waiting.push(nodes.len());
                    nodes.push(Node { figure: figure.parse().ok()?, no: 0, value: threshold.parse().ok()? });
                } else {
                    nodes.push(Node { figure: 0, no: 0, value: word.parse().ok()? });
                    // An answer ends the "yes" of the last question that has no "no" yet.
                    if let Some(question) = waiting.pop() {
                        nodes[question].no = u16::try_from(nodes.len()).ok()?;
                    }
                }
            }
            trees.push(nodes);
        }
        Some(Self { trees })
    }

    /// How many trees there are.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.trees.len()
    }

    /// The highest number of a figure that is asked for.
    #[cfg(test)]
    pub(super) fn highest_figure(&self) -> usize {
        self.trees.iter().flatten().map(|node| usize::from(node.figure)).max().unwrap_or(0)
    }

    /// The probability of "yes" for a row of figures.
    pub(super) fn probability(&self, row: &[f32]) -> f32 {
        let sum: f32 = self.trees.iter().map(|tree| answer(tree, row)).sum();
        1.0 / (1.0 + (-sum).exp())
    }
}

fn answer(tree: &[Node], row: &[f32]) -> f32 {
    let mut at = 0;
    while let Some(node) = tree.get(at) {
        if node.no == 0 {
            return node.value;
        }
        at = if row.get(usize::from(node.figure)).is_some_and(|value| *value <= node.value) {
            at + 1
        } else {
            usize::from(node.no)
        };
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_lead_to_answers() {
        let forest = Forest::parse(["F0:1.5 F1:0 -1 2 0.5", "1"].into_iter()).unwrap();
        let logit = |row: &[f32]| {
            let p = forest.probability(row);
            (p / (1.0 - p)).ln().round()
        };
        assert_eq!(logit(&[1.0, -1.0]), 0.0);
        assert_eq!(logit(&[1.0, 1.0]), 3.0);
        assert!((forest.probability(&[2.0, 0.0]) - 1.0 / (1.0 + (-1.5_f32).exp())).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_forest_is_refused() {
        assert!(Forest::parse(["F0:x 1 2"].into_iter()).is_none());
    }
}
