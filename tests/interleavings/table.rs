//! The table of pairs in docs/interleavings.md: what ends a right, and every other thing that can be done beside it.
//!
//! The page is for people, and the table in it comes of [`ACTIONS`]: where the two differ it is written anew, and the
//! test fails, so that somebody looks at it.

use std::fs;
use std::path::Path;

use super::actions::{ACTIONS, Action};
use super::schedules::Pair;

/// The name of a pair in the table: `R3W7`, or as many rows or ways as it is.
pub fn cell(pair: &Pair) -> String {
    format!("{}{}", label(pair.first), label(pair.second))
}

/// Its place among those that end a right, or among the others.
fn label(action: &Action) -> String {
    let ends_a_right = action.ends_a_right();
    let alike = ACTIONS
        .iter()
        .filter(|other| other.ends_a_right() == ends_a_right);
    let place = alike.take_while(|other| other.name != action.name).count() + 1;
    match ends_a_right {
        true => format!("R{place}"),
        false => format!("W{place}"),
    }
}

#[test]
fn the_table_of_pairs_in_the_documentation_is_what_is_tried() {
    const BEGIN: &str = "<!-- pairs -->\n";
    const END: &str = "<!-- end of pairs -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/interleavings.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
    let (stands, after) = rest.split_once(END).expect("where it ends");
    if stands != table() {
        let anew = format!("{before}{BEGIN}{}{END}{after}", table());
        fs::write(&path, anew).unwrap();
        panic!("docs/interleavings.md differed from the table of actions and was written anew");
    }
}

fn table() -> String {
    let (rows, ways): (Vec<&Action>, Vec<&Action>) =
        ACTIONS.iter().partition(|action| action.ends_a_right());
    let named = |action: &&Action| format!("* **{}** {}\n", label(action), action.name);
    let names: String = rows.iter().chain(&ways).map(named).collect();
    let columns: Vec<String> = ways.iter().map(|way| label(way)).collect();
    let mut lines = vec![
        format!("| | {} |", columns.join(" | ")),
        format!("|---|{}", "---|".repeat(ways.len())),
    ];
    for first in rows {
        let cells = ways.iter().map(|second| cell(&Pair { first, second }));
        let cells: Vec<String> = cells.collect();
        lines.push(format!("| {} | {} |", label(first), cells.join(" | ")));
    }
    format!("{names}\n{}\n", lines.join("\n"))
}
