//! The log: one line per event, as text or as JSON.
//!
//! Each line has a field `event`, whose value stays the same from release to release, while the words beside it may
//! change: docs/operate.md lists them. In JSON the fields stand beside the time and the level, not below them.
//!
//! `RUST_LOG` chooses what of ours is shown. It cannot raise the crates beneath us above `info`: some would
//! log headers, bodies or SQL there, and with them tokens.

use std::io::{self, IsTerminal};

use crate::config::{Config, LogFormat};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log for this process. What a command prints is for whoever called it, so its log keeps out of
/// the way, on standard error.
pub fn start(config: &Config, serves: bool) {
    let (writer, is_terminal) = if serves {
        (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal())
    } else {
        (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal())
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match config.log.format {
        LogFormat::Text => lines.with_ansi(is_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(
            lines
                .with_filter(filter_fn(is_harmless))
                .with_filter(config.log.levels.clone()),
        )
        .init();
}

/// actix-session warns of each cookie that does not open, which any visitor can send at will.
fn is_harmless(event: &Metadata<'_>) -> bool {
    let target = event.target();
    if target.starts_with("actix_session") {
        return *event.level() <= Level::ERROR;
    }
    target.starts_with("doorpost") || *event.level() <= Level::INFO
}
