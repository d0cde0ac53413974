//! `doorpost announce`: one text, a letter to every reader who wants it.
//!
//! Everything that can be refused is refused first: the text, the addresses. Then the readers are found, and
//! their letters posted, some in each transaction together with the note that they were. So a run that was
//! killed is simply begun again, and so is one that met trouble: nobody gets two. The letters leave with a running
//! Doorpost, after whatever anybody waits for.

use std::collections::BTreeSet;
use std::ops::{AddAssign, Bound};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use serde::Serialize;

use crate::accounts::announced;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::users;
use crate::actions::announce::{self, Fate};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::invisible;
use crate::mail::announcement::Announcement;
use crate::operator::out::Out;
use crate::operator::{self, database_is_there};

/// What is announced, and to whom.
#[derive(Args)]
pub struct Arguments {
    /// A Markdown file. Its first line is the subject: `# What it is about`.
    pub file: PathBuf,
    /// `all`, an address, or a file with an address on each line.
    #[arg(long, value_name = "WHOM")]
    pub to: String,
    /// Only say who would get it, and show the text.
    #[arg(long)]
    pub dry_run: bool,
    /// Send it to those, too, who had another text under the same subject in the last days.
    #[arg(long)]
    pub again: bool,
    /// Say what came of it as a JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Readers in one transaction: few, so that nobody else waits long for a turn to write.
const BATCH: usize = 100;

/// Does what the command says and prints what came of it.
pub async fn run(
    arguments: Arguments,
    config: Config,
    clock: Clock,
    out: &Out,
) -> Result<ExitCode> {
    let (announcement, whom) = match read(&arguments, &config) {
        Ok(found) => found,
        Err(why) => {
            out.complain(why);
            return Ok(ExitCode::FAILURE);
        }
    };
    let run = Run {
        app: open(config, clock).await?,
        announcement: Arc::new(announcement),
        is_dry: arguments.dry_run,
    };
    if !operator::key_fits(&run.app, out).await? {
        return Ok(ExitCode::FAILURE);
    }
    let (readers, strangers) = run.find(whom).await?;
    if run.is_dry && !arguments.json {
        run.show(&readers, out).await?;
    }
    if !arguments.again {
        let had_alike = run.count_alike(&readers).await?;
        if had_alike > 0 {
            out.complain(question(had_alike));
            if !run.is_dry {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    let mut tally = Tally::default();
    let announced = run.announce(&readers, &mut tally).await;
    run.tell_log(&tally);
    announced?;
    tally.without_account += strangers;
    if arguments.json {
        out.json(&tally)?;
    } else {
        out.line(tally.told(run.is_dry));
    }
    Ok(ExitCode::SUCCESS)
}

/// Neither made nor migrated: where Doorpost has never run, nobody is to be told anything.
async fn open(config: Config, clock: Clock) -> Result<App> {
    database_is_there(&config)?;
    let app = App::new(config, clock)?;
    app.db.ready().await?;
    Ok(app)
}

// --- what the command line names ---

/// Who is to get it.
enum Whom {
    All,
    These(Vec<EmailAddress>),
}

/// The text and the addresses, or what is wrong with them.
fn read(arguments: &Arguments, config: &Config) -> Result<(Announcement, Whom), String> {
    let file = arguments.file.display();
    let text = std::fs::read(&arguments.file).map_err(|error| format!("{file}: {error}"))?;
    let announcement = Announcement::parse(&text, &config.server.public_url)
        .map_err(|refused| format!("{file}: {refused}"))?;
    Ok((announcement, read_whom(&arguments.to)?))
}

fn read_whom(to: &str) -> Result<Whom, String> {
    match to {
        "all" => Ok(Whom::All),
        address if address.contains('@') => {
            let address = EmailAddress::parse(address).map_err(|why| format!("{to}: {why}"))?;
            Ok(Whom::These(vec![address]))
        }
        file => read_addresses(Path::new(file)).map(Whom::These),
    }
}

fn read_addresses(file: &Path) -> Result<Vec<EmailAddress>, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let lines = text.lines().map(invisible::trimmed).zip(1..);
    let addresses = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    addresses
        .map(|(line, number)| {
            EmailAddress::parse(line).map_err(|why| format!("{name}: line {number}: {why}"))
        })
        .collect()
}

// --- the run ---

struct Run {
    app: App,
    announcement: Arc<Announcement>,
    is_dry: bool,
}

/// Accounts, each once. In order, so that of two runs at once one follows the other and neither is a deadlock's
/// victim. All of them are more than a command should hold: they are read batch by batch.
enum Readers {
    All,
    These(BTreeSet<String>),
}

impl Readers {
    /// The batch after this one.
    async fn after(&self, app: &App, last: &str) -> Result<Vec<String>> {
        match self {
            Self::All => {
                let (last, at_most) = (last.to_owned(), BATCH as i64);
                app.read(move |tx| users::ids(tx, &last, at_most)).await
            }
            Self::These(ids) => {
                let later = (Bound::Excluded(last), Bound::Unbounded);
                Ok(ids.range::<str, _>(later).take(BATCH).cloned().collect())
            }
        }
    }

    /// How many there are, where that is known.
    fn count(&self) -> Option<u64> {
        match self {
            Self::All => None,
            Self::These(ids) => Some(ids.len() as u64),
        }
    }
}

impl Run {
    /// The readers, and how many addresses have no account.
    async fn find(&self, whom: Whom) -> Result<(Readers, u64)> {
        let addresses = match whom {
            Whom::All => return Ok((Readers::All, 0)),
            Whom::These(addresses) => BTreeSet::from_iter(addresses),
        };
        let (mut ids, mut strangers) = (BTreeSet::new(), 0);
        for batch in batches(addresses) {
            let found = self.app.read(move |tx| {
                let accounts = batch.iter().map(|email| users::find_by_email(tx, email));
                accounts.collect::<Result<Vec<_>>>()
            });
            for account in found.await? {
                match account {
                    Some(user) => drop(ids.insert(user.id)),
                    None => strangers += 1,
                }
            }
        }
        Ok((Readers::These(ids), strangers))
    }

    /// How many of those who would get it had another text under its subject lately: a text that was mended after it
    /// was sent is another text, and to its readers the same letter.
    async fn count_alike(&self, readers: &Readers) -> Result<usize> {
        let (mut count, mut last) = (0, String::new());
        loop {
            let batch = readers.after(&self.app, &last).await?;
            let Some(end) = batch.last().cloned() else {
                return Ok(count);
            };
            let announcement = Arc::clone(&self.announcement);
            let alike = self
                .app
                .read(move |tx| announce::count_alike(tx, &announcement, batch));
            count += alike.await?;
            last = end;
        }
    }

    /// Posts the letters, and counts them as they are.
    async fn announce(&self, readers: &Readers, tally: &mut Tally) -> Result<()> {
        let bar = readers
            .count()
            .map_or_else(ProgressBar::no_length, ProgressBar::new);
        let mut last = String::new();
        loop {
            let batch = readers.after(&self.app, &last).await?;
            let Some(end) = batch.last().cloned() else {
                break;
            };
            bar.inc(batch.len() as u64);
            *tally += self.announce_to(batch).await?;
            last = end;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Also of what was posted until there was trouble. The file is named by what `sha256sum` says of it.
    fn tell_log(&self, tally: &Tally) {
        if self.is_dry || tally.told == 0 {
            return;
        }
        let digest = &self.announcement.digests.file;
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters = tally.told;
        tracing::info!(sha256, letters, event = "announced", "announced");
    }

    async fn announce_to(&self, batch: Vec<String>) -> Result<Tally> {
        let (app, announcement) = (self.app.clone(), Arc::clone(&self.announcement));
        let is_dry = self.is_dry;
        let each = move |tx: &mut Tx| {
            let mut tally = Tally::default();
            for id in &batch {
                tally.count(match is_dry {
                    true => announce::foretell(tx, &announcement, id)?,
                    false => announce::announce_to(tx, &app, &announcement, id)?,
                });
            }
            Ok(tally)
        };
        match self.is_dry {
            true => self.app.read(each).await,
            false => self.app.transaction(each).await,
        }
    }

    /// The subject and, for the first who would get it, the text.
    async fn show(&self, readers: &Readers, out: &Out) -> Result<()> {
        out.line(format_args!("Subject: {}\n", self.announcement.subject));
        let mut last = String::new();
        loop {
            let batch = readers.after(&self.app, &last).await?;
            let Some(end) = batch.last().cloned() else {
                return Ok(());
            };
            let found = self.app.read(move |tx| {
                let accounts = batch.iter().map(|id| users::find(tx, id));
                accounts.collect::<Result<Vec<_>>>()
            });
            let mut accounts = found.await?.into_iter().flatten();
            if let Some(reader) = accounts.find(|user| user.announcements) {
                let (config, links) = (&self.app.config, &self.app.signed_links);
                let text = self.announcement.specimen(config, links, &reader.email)?;
                out.line(text);
                return Ok(());
            }
            last = end;
        }
    }
}

fn batches<T>(all: impl IntoIterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    let mut all = all.into_iter();
    std::iter::from_fn(move || {
        let batch: Vec<T> = all.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

fn question(had_alike: usize) -> String {
    let readers = how_many(had_alike as u64, ["reader", "readers"]);
    format!(
        "{readers} had another text under this subject in the last {} days. To send them this one as well, say --again; \
         or give it another subject.",
        announced::LATELY.as_secs() / (24 * 60 * 60)
    )
}

// --- what came of it ---

/// How many had which fate.
#[derive(Default, Serialize)]
struct Tally {
    told: u64,
    had_it: u64,
    want_none: u64,
    without_account: u64,
    not_reached: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.told += more.told;
        self.had_it += more.had_it;
        self.want_none += more.want_none;
        self.without_account += more.without_account;
        self.not_reached += more.not_reached;
    }
}

impl Tally {
    fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Told => &mut self.told,
            Fate::HadIt => &mut self.had_it,
            Fate::WantsNone => &mut self.want_none,
            Fate::HasNoAccount => &mut self.without_account,
            Fate::IsNotReached => &mut self.not_reached,
        } += 1;
    }

    /// In a sentence, which leaves out what there was none of.
    fn told(&self, is_dry: bool) -> String {
        let letters = match is_dry {
            true => [
                "letter would wait to be sent",
                "letters would wait to be sent",
            ],
            false => ["letter waits to be sent", "letters wait to be sent"],
        };
        let others = [
            (
                self.had_it,
                ["reader had it already", "readers had it already"],
            ),
            (
                self.want_none,
                ["wants no announcements", "want no announcements"],
            ),
            (
                self.without_account,
                ["address has no account", "addresses have no account"],
            ),
            (
                self.not_reached,
                ["reader's mail comes back", "readers' mail comes back"],
            ),
        ];
        let others: Vec<String> = others
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, form)| how_many(count, form))
            .collect();
        let told = how_many(self.told, letters);
        match others.is_empty() {
            true => format!("{told}."),
            false => format!("{told}; {}.", others.join(", ")),
        }
    }
}

fn how_many(count: u64, [one, many]: [&str; 2]) -> String {
    let form = if count == 1 { one } else { many };
    format!("{} {form}", HumanCount(count))
}
