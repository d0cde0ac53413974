//! All figures, as a table to read and as JSON.

use std::path::Path;

use serde_json::json;

use crate::site::Cost;

/// One figure of one build in one round.
pub struct Figure {
    what: &'static str,
    unit: &'static str,
    value: f64,
    /// What PostgreSQL spent besides.
    of_database: f64,
    floor: Option<Floor>,
}

/// What a cost is compared with, and what that has cost in the same round.
pub type Floor = (&'static str, f64);

impl Figure {
    pub fn of(what: &'static str, unit: &'static str, value: f64) -> Self {
        Self {
            what,
            unit,
            value,
            of_database: 0.0,
            floor: None,
        }
    }

    pub fn cost(what: &'static str, cost: &Cost, floor: Floor) -> Self {
        Self {
            of_database: cost.of_database,
            floor: Some(floor),
            ..Self::of(what, "µs", cost.of_program)
        }
    }
}

/// All figures: of each line, those of this build and those of the other, round by round.
#[derive(Default)]
pub struct Table {
    lines: Vec<Line>,
}

struct Line {
    database: &'static str,
    what: &'static str,
    unit: &'static str,
    of_builds: [Vec<Figure>; 2],
}

impl Table {
    pub fn note(&mut self, database: &'static str, build: usize, figure: Figure) {
        let is_its = |line: &Line| line.database == database && line.what == figure.what;
        let at = self.lines.iter().position(is_its).unwrap_or_else(|| {
            self.lines.push(Line {
                database,
                what: figure.what,
                unit: figure.unit,
                of_builds: Default::default(),
            });
            self.lines.len() - 1
        });
        self.lines[at].of_builds[build].push(figure);
    }

    pub fn print(&self) {
        println!("| | this build | beside it | the other build | this one's share of it |");
        println!("|---|---|---|---|---|");
        for line in &self.lines {
            let [this, other] = &line.of_builds;
            println!(
                "| {}, {} | {} | {} | {} | {} |",
                line.what,
                line.database,
                shown(this, line.unit),
                beside_floor(this)
                    .map_or_else(String::new, |(name, ratio)| format!("{ratio:.2} × {name}")),
                shown(other, line.unit),
                shares(this, other),
            );
        }
    }

    pub fn write(&self, file: &Path) {
        let lines = self.lines.iter().map(|line| {
            let values = |figures: &[Figure]| -> Vec<_> {
                let each = figures.iter().map(|figure| {
                    json!({
                        "value": figure.value,
                        "of_database": figure.of_database,
                        "floor": figure.floor.map(|(_, value)| value),
                    })
                });
                each.collect()
            };
            let [this, other] = &line.of_builds;
            json!({
                "database": line.database,
                "what": line.what,
                "unit": line.unit,
                "this": values(this),
                "other": values(other),
            })
        });
        let lines: Vec<_> = lines.collect();
        std::fs::write(file, serde_json::to_vec_pretty(&lines).unwrap()).unwrap();
        println!("\nRound by round in {}", file.display());
    }
}

/// The median, and that of the database in brackets.
fn shown(figures: &[Figure], unit: &str) -> String {
    let Some(value) = median(figures.iter().map(|figure| figure.value)) else {
        return String::new();
    };
    match median(figures.iter().map(|figure| figure.of_database)) {
        Some(of_database) if of_database > 0.0 => format!("{value:.0} ({of_database:.0}) {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

fn beside_floor(figures: &[Figure]) -> Option<Floor> {
    let (name, _) = figures.first()?.floor?;
    let ratios = figures
        .iter()
        .filter_map(|figure| Some(figure.value / figure.floor?.1));
    Some((name, median(ratios)?))
}

fn shares(this: &[Figure], other: &[Figure]) -> String {
    let share = |value: fn(&Figure) -> f64| {
        median(
            this.iter()
                .zip(other)
                .map(|(this, other)| value(this) / value(other)),
        )
    };
    let Some(of_program) = share(|figure| figure.value) else {
        return String::new();
    };
    match share(|figure| figure.of_database) {
        Some(of_database) if of_database.is_finite() => {
            format!("{of_program:.2} ({of_database:.2})")
        }
        _ => format!("{of_program:.2}"),
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
