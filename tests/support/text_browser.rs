//! Lynx, w3m and Links in a terminal of their own (tmux), driven by keys: what is on the screen is what a visitor sees.

use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What the screen has not shown after this long it does not show.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a key may take to have an effect: some have none.
const PRESSED: Duration = Duration::from_millis(400);

/// More than any page has places to go to.
const MANY_PLACES: usize = 60;

/// One of those that every Debian has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextBrowser {
    Lynx,
    W3m,
    Links,
}

/// A browser that somebody sits before. Ended when dropped, also by a test that fails.
pub struct Terminal {
    browser: TextBrowser,
    home: TempDir,
}

/// What is on the screen, and where the cursor is.
struct Screen {
    lines: Vec<String>,
    x: usize,
    y: usize,
}

impl TextBrowser {
    /// Without anything to be answered before the first page. In lynx the cursor stands where the next key goes.
    fn command(self, home: &str, url: &str) -> String {
        let clean = format!("env -i HOME={home} TERM=screen LANG=C.UTF-8 PATH=/usr/bin:/bin");
        match self {
            Self::Lynx => format!("{clean} lynx -cfg={home}/lynx.cfg -nocolor -nopause {url}"),
            Self::W3m => format!("{clean} w3m -cookie -no-mouse {url}"),
            // It shows a page that it has been shown once from memory, whatever the page says, unless told otherwise.
            Self::Links => format!("{clean} links -aggressive-cache 0 {url}"),
        }
    }

    /// The key that goes to the next link, field or button.
    fn next(self) -> &'static str {
        match self {
            Self::Lynx | Self::W3m => "Tab",
            Self::Links => "Down",
        }
    }

    /// The keys that lead to where an address can be typed, with nothing in it.
    fn address(self) -> &'static [&'static str] {
        match self {
            Self::Lynx | Self::Links => &["g", "C-u"],
            Self::W3m => &["U", "C-u"],
        }
    }
}

impl Terminal {
    /// Starts one that nobody used before, at this address.
    pub async fn open(browser: TextBrowser, url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = "SHOW_CURSOR:TRUE\nACCEPT_ALL_COOKIES:TRUE\n";
        std::fs::write(home.path().join("lynx.cfg"), settings).unwrap();
        let terminal = Self { browser, home };
        let command = browser.command(&terminal.home.path().display().to_string(), url);
        // So high that no page has to be scrolled.
        terminal.tmux(&["new-session", "-d", "-x", "120", "-y", "150", &command]);
        if browser == TextBrowser::Links {
            terminal.sees("Welcome to links!").await;
            terminal.press("Enter");
        }
        terminal
    }

    /// Types an address.
    pub async fn goto(&self, url: &str) {
        for key in self.browser.address() {
            self.press(key);
        }
        self.type_words(url);
        self.press("Enter");
    }

    /// Follows the link, or presses the button, that says this.
    pub async fn follow(&self, words: &str) {
        self.move_on(words, |screen| screen.is_at(words)).await;
        self.press("Enter");
    }

    /// Types into the field with this label.
    pub async fn fill(&self, label: &str, value: &str) {
        self.move_on(label, |screen| screen.is_in_field_of(label))
            .await;
        if self.browser == TextBrowser::W3m {
            self.press("Enter"); // It asks below the page.
        }
        self.type_words(value);
        if self.browser == TextBrowser::W3m {
            self.press("Enter");
        }
    }

    /// Shows these words, sooner or later.
    pub async fn sees(&self, words: &str) {
        let began = Instant::now();
        while !self.screen().shows(words) {
            let text = || self.screen().lines.join("\n");
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for {words} in: {}",
                text()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The words on the screen.
    pub fn text(&self) -> String {
        self.screen().lines.join("\n")
    }

    /// From place to place, and from the last to the first, until the cursor is there.
    async fn move_on(&self, words: &str, is_there: impl Fn(&Screen) -> bool) {
        self.sees(words).await;
        for _ in 0..MANY_PLACES {
            let before = self.screen();
            if is_there(&before) {
                return;
            }
            self.press(self.browser.next());
            let pressed = Instant::now();
            while self.screen().place() == before.place() {
                if pressed.elapsed() > PRESSED {
                    self.press("Home"); // Links stays at the last.
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        panic!("no way to {words} in: {}", self.text());
    }

    fn screen(&self) -> Screen {
        let shown = self.tmux(&[
            "display-message",
            "-p",
            "#{cursor_x} #{cursor_y}",
            ";",
            "capture-pane",
            "-p",
        ]);
        let (place, text) = shown.split_once('\n').unwrap();
        let (x, y) = place.split_once(' ').unwrap();
        Screen {
            lines: text.lines().map(str::to_owned).collect(),
            x: x.parse().unwrap(),
            y: y.parse().unwrap(),
        }
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn type_words(&self, words: &str) {
        self.tmux(&["send-keys", "-l", "--", words]);
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.home.path().join("tmux");
        let mut command = Command::new("tmux");
        command.arg("-S").arg(socket).args(["-f", "/dev/null"]);
        let done = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "tmux {arguments:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Screen {
    fn place(&self) -> (usize, usize) {
        (self.x, self.y)
    }

    /// However the words are broken into lines.
    fn shows(&self, words: &str) -> bool {
        let text = self.lines.join(" ");
        text.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(words)
    }

    /// Whether the cursor is in these words, or before them with nothing between that would be another place.
    fn is_at(&self, words: &str) -> bool {
        let line = self.lines.get(self.y).map_or("", String::as_str);
        line.match_indices(words).any(|(at, _)| {
            let from = line[..at].chars().count();
            let between: String = line[..at].chars().skip(self.x).collect();
            self.x < from + words.chars().count() && ["", "(BUTTON)"].contains(&between.trim())
        })
    }

    /// Whether the cursor is in an empty field that stands beside its label or below it.
    fn is_in_field_of(&self, label: &str) -> bool {
        let labelled = self.lines.iter().position(|line| line.contains(label));
        let line = self.lines.get(self.y).map_or("", String::as_str);
        let is_field = line.chars().nth(self.x) == Some('_')
            || self.x > 0
                && line
                    .chars()
                    .skip(self.x - 1)
                    .collect::<String>()
                    .starts_with("[   ");
        is_field && labelled.is_some_and(|labelled| labelled <= self.y)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.home.path().join("tmux");
        let mut command = Command::new("tmux");
        let _ = command.arg("-S").arg(socket).arg("kill-server").output();
    }
}
