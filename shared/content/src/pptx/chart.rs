//! Charts to tables, and the texts of diagrams (ECMA-376, part 1, 21.2 and 21.4).

use crate::flow::Flow;
use crate::xml::{Node, Xml};
use crate::{BlockKind, ContentError};

/// Points of one series that are kept.
const MAX_POINTS: usize = 10_000;

/// Series of one chart that are kept.
const MAX_SERIES: usize = 200;

/// One series of a chart.
#[derive(Debug, Default)]
struct Series {
    name: String,
    categories: Vec<String>,
    values: Vec<String>,
}

/// Which part of a series is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Name,
    Category,
    Value,
}

/// Appends what a part holds: title and figures of a chart, or the texts of a diagram. What is broken is left out.
pub(super) fn push(flow: &mut Flow, source: &str) -> Result<(), ContentError> {
    let (mut series, mut line, mut side): (Vec<Series>, String, Option<Side>) = Default::default();
    let mut number = 0;
    let mut xml = Xml::new(source);
    while let Ok(Some(node)) = xml.next() {
        match node {
            Node::Open(tag) => match tag.name() {
                "Fallback" if xml.skip().is_err() => break,
                "ser" if series.len() < MAX_SERIES => series.push(Series::default()),
                "tx" => side = Some(Side::Name),
                "cat" | "xVal" => side = Some(Side::Category),
                "val" | "yVal" => side = Some(Side::Value),
                "pt" => number = tag.number("idx").unwrap_or(0),
                "v" => {
                    let value = xml.text().unwrap_or_default();
                    if let Some(series) = series.last_mut() {
                        series.put(side, number, value);
                    }
                }
                "t" => line.push_str(&xml.text().unwrap_or_default()),
                _ => {}
            },
            Node::Close(name) => match &*name {
                // Titles of charts and axes, and each text of a diagram.
                "p" => flow.block(BlockKind::Paragraph, std::mem::take(&mut line).trim().to_owned())?,
                "tx" | "cat" | "val" | "xVal" | "yVal" => side = None,
                _ => {}
            },
            Node::Text(_) => {}
        }
    }
    figures(flow, &series)
}

impl Series {
    fn put(&mut self, side: Option<Side>, number: usize, value: String) {
        let list = match side {
            Some(Side::Name) => return self.name = value,
            Some(Side::Category) => &mut self.categories,
            Some(Side::Value) => &mut self.values,
            None => return,
        };
        if number < MAX_POINTS {
            if list.len() <= number {
                list.resize(number + 1, String::new());
            }
            list[number] = value;
        }
    }
}

/// A row for each category, a column for each series.
fn figures(flow: &mut Flow, series: &[Series]) -> Result<(), ContentError> {
    let points = series.iter().map(|series| series.values.len()).max().unwrap_or(0);
    let Some(categories) = series.iter().map(|series| &series.categories).max_by_key(|list| list.len()) else {
        return Ok(());
    };
    if points == 0 {
        return Ok(());
    }
    let nothing = String::new();
    let names = series.iter().map(|series| series.name.as_str());
    let mut rows = vec![[""].into_iter().chain(names).collect::<Vec<_>>()];
    for point in 0..points {
        let category = categories.get(point).unwrap_or(&nothing);
        let values = series.iter().map(|series| series.values.get(point).unwrap_or(&nothing).as_str());
        rows.push([category.as_str()].into_iter().chain(values).collect());
    }
    flow.open_table();
    for cells in rows {
        flow.open_row();
        for cell in cells {
            flow.open_cell();
            flow.block(BlockKind::Paragraph, cell.to_owned())?;
        }
    }
    flow.close_table()
}
