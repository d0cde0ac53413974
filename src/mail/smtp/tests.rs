//! A mail server that refuses, stalls, drips and hangs up on cue, and what becomes of the letters.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::config::SmtpSecurity;

const LETTER: &str = "Subject: Hello\r\n\r\nA link.\r\n";

/// What the server does instead of agreeing.
#[derive(Clone, Copy)]
enum Cue {
    Agree,
    Say(&'static str),
    /// Agree, but take 100 ms.
    Dawdle,
    Stall,
    HangUp,
    /// Agree, and hang up.
    Leave,
    /// A byte of an answer now and then, never its end.
    Drip,
    /// Bytes without a line end, as fast as they are taken.
    Flood,
}
use Cue::{Agree, Dawdle, Drip, Flood, HangUp, Leave, Say, Stall};

#[derive(Default)]
struct Heard {
    connections: usize,
    commands: Vec<String>,
    /// Those before whose answer, which took a while, more was said.
    unawaited: Vec<String>,
    letters: Vec<String>,
}

struct Sink {
    port: u16,
    heard: Arc<Mutex<Heard>>,
}

impl Sink {
    /// `script` is asked at each stage, by the number of the connection (from 1) and the command:
    /// `CONNECT`, a command line, `.` for a letter.
    async fn new(script: impl Fn(usize, &str) -> Cue + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (ears, script) = (Arc::clone(&heard), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                ears.lock().unwrap().connections += 1;
                let number = ears.lock().unwrap().connections;
                let (ears, script) = (Arc::clone(&ears), Arc::clone(&script));
                tokio::spawn(
                    async move { converse(stream, &ears, |line| script(number, line)).await },
                );
            }
        });
        Self { port, heard }
    }

    async fn agreeable() -> Self {
        Self::new(|_, _| Agree).await
    }

    fn smtp(&self) -> Smtp {
        smtp(self.port, SmtpSecurity::Plaintext, None)
    }

    fn slot(&self) -> Slot {
        slot(&self.smtp())
    }

    fn commands(&self) -> Vec<String> {
        self.heard.lock().unwrap().commands.clone()
    }

    fn connections(&self) -> usize {
        self.heard.lock().unwrap().connections
    }

    fn letters(&self) -> Vec<String> {
        self.heard.lock().unwrap().letters.clone()
    }

    /// The verbs heard, in order.
    fn verbs(&self) -> Vec<String> {
        verbs_of(&self.heard.lock().unwrap().commands)
    }

    /// Those of them that did not have us wait for their answer.
    fn unawaited(&self) -> Vec<String> {
        verbs_of(&self.heard.lock().unwrap().unawaited)
    }

    fn heard(&self, verb: &str) -> bool {
        self.verbs().iter().any(|heard| heard == verb)
    }
}

fn verbs_of(commands: &[String]) -> Vec<String> {
    let verb = |line: &String| line.split([' ', ':']).next().unwrap().to_owned();
    commands.iter().map(verb).collect()
}

async fn converse(stream: TcpStream, heard: &Mutex<Heard>, script: impl Fn(&str) -> Cue) {
    let mut stream = BufReader::new(stream);
    let mut line = "CONNECT".to_owned();
    loop {
        let usual = match line.split([' ', ':']).next().unwrap() {
            "CONNECT" => "220 sink",
            "EHLO" => "250-sink\r\n250-DSN\r\n250 AUTH PLAIN LOGIN",
            "DATA" => "354 go ahead",
            "AUTH" => "235 welcome",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let (answer, agreed) = match script(&line) {
            Agree => (usual, true),
            Dawdle => {
                sleep(Duration::from_millis(100)).await;
                let more = timeout(Duration::from_millis(1), stream.fill_buf()).await;
                if more.is_ok() {
                    heard.lock().unwrap().unawaited.push(line.clone());
                }
                (usual, true)
            }
            Say(other) => (other, false),
            HangUp => return,
            Leave => {
                let _ = stream.write_all(format!("{usual}\r\n").as_bytes()).await;
                return;
            }
            Stall => return sleep(Duration::from_secs(60)).await,
            Drip => {
                while stream.write_all(b"2").await.is_ok() {
                    sleep(Duration::from_millis(20)).await;
                }
                return;
            }
            Flood => {
                while stream.write_all(&[b'2'; 1024]).await.is_ok() {}
                return;
            }
        };
        if stream
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
        if line == "DATA" && agreed {
            let Some(letter) = letter(&mut stream).await else {
                return;
            };
            heard.lock().unwrap().letters.push(letter);
            line = ".".to_owned();
            continue;
        }
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        line.truncate(line.trim_end_matches("\r\n").len());
        heard.lock().unwrap().commands.push(line.clone());
    }
}

/// What comes before the final dot, its own dots unstuffed (RFC 5321, 4.5.2).
async fn letter(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut letter = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(letter);
        }
        letter.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

fn smtp(port: u16, security: SmtpSecurity, credentials: Option<(String, String)>) -> Smtp {
    let url = SmtpUrl {
        host: "127.0.0.1".into(),
        port,
        security,
        credentials,
    };
    let deadlines = Deadlines {
        connect: Duration::from_millis(500),
        answer: Duration::from_millis(500),
        letter: Duration::from_millis(500),
        whole: Duration::from_secs(4),
        goodbye: Duration::from_millis(500),
        idle: DEADLINES.idle,
    };
    Smtp::with_deadlines(&url, None, "door.example", deadlines).unwrap()
}

/// One whose time stands still.
fn slot(smtp: &Smtp) -> Slot {
    smtp.slot(&Clock::stopped_at(0))
}

const ENVELOPE: Envelope<'_> = Envelope {
    from: "door@post.example",
    to: "ann@example.org",
    id: "a-letter_1",
};

async fn send(slot: &mut Slot) -> Result<(), Failure> {
    slot.send(ENVELOPE, LETTER).await
}

/// What becomes of one letter where the server follows `cue` at `stage`.
async fn sent_to(stage: &'static str, cue: Cue) -> Result<(), Failure> {
    let sink = Sink::new(move |_, line| if line.starts_with(stage) { cue } else { Agree }).await;
    send(&mut sink.slot()).await
}

fn is_unreachable(sent: &Result<(), Failure>) -> bool {
    matches!(sent, Err(Failure::Unreachable(_)))
}

/// For now, and it is not the recipient's doing, nor the letter's.
fn is_ours(sent: &Result<(), Failure>) -> bool {
    matches!(sent, Err(Failure::Later(refusal)) if refusal.blames != Blames::Recipient)
}

fn is_later(sent: &Result<(), Failure>) -> bool {
    matches!(sent, Err(Failure::Later(_)))
}

fn is_never(sent: &Result<(), Failure>) -> bool {
    matches!(sent, Err(Failure::Never(_)))
}

#[tokio::test]
async fn a_letter_is_handed_over_and_the_connection_kept_for_the_next() {
    let sink = Sink::agreeable().await;
    let mut slot = sink.slot();
    send(&mut slot).await.unwrap();
    send(&mut slot).await.unwrap();
    slot.close().await;
    assert_eq!(sink.connections(), 1);
    assert_eq!(sink.letters(), [LETTER, LETTER]);
    assert_eq!(
        sink.commands(),
        [
            "EHLO door.example",
            "EHLO door.example",
            "MAIL FROM:<door@post.example> RET=HDRS ENVID=a-letter_1",
            "RCPT TO:<ann@example.org>",
            "DATA",
            "MAIL FROM:<door@post.example> RET=HDRS ENVID=a-letter_1",
            "RCPT TO:<ann@example.org>",
            "DATA",
            "QUIT"
        ]
    );
}

#[tokio::test]
async fn dots_arrive_byte_for_byte_as_one_letter() {
    for body in [
        ".\r\n",
        "..\r\n",
        "a\r\n.\r\nMAIL FROM:<x@y>\r\n",
        ".a\r\n.\r\n.\r\n",
        "\r\n\r\n",
        "a.",
    ] {
        let sink = Sink::agreeable().await;
        let mut slot = sink.slot();
        let message = format!("Subject: dots\r\n\r\n{body}");
        slot.send(ENVELOPE, &message).await.unwrap();
        let line_end = if body.ends_with('\n') { "" } else { "\r\n" };
        assert_eq!(sink.letters(), [format!("{message}{line_end}")]);
        assert_eq!(sink.verbs(), ["EHLO", "EHLO", "MAIL", "RCPT", "DATA"]);
    }
}

#[tokio::test]
async fn what_could_be_read_as_commands_is_never_sent() {
    let sink = Sink::agreeable().await;
    let mut slot = sink.slot();
    let long = "x".repeat(999);
    for letter in [
        "a\n.\nb",
        "a\r.\rb",
        "a\r\n.\rb",
        "\r\n\n",
        "caf\u{e9}",
        "a\0b",
        "\x1b[31m",
        &long,
    ] {
        let sent = slot.send(ENVELOPE, letter).await;
        assert!(is_never(&sent), "{letter:?}");
    }
    for to in [
        "c@d.example\r\nDATA",
        "c@d.example> NOTIFY=NEVER",
        "\"c d\"@d.example",
        "\"c\"@d.example",
        "c\u{e9}@d.example",
        "c@d\u{e9}.example",
        "c@d.example,e@f.example",
        "c",
        "",
    ] {
        let from = to;
        for envelope in [Envelope { to, ..ENVELOPE }, Envelope { from, ..ENVELOPE }] {
            assert!(is_never(&slot.send(envelope, LETTER).await), "{to:?}");
        }
    }
    for id in ["", "1\r\nDATA", "1 SIZE=1", "\u{e9}", &long] {
        let envelope = Envelope { id, ..ENVELOPE };
        assert!(is_never(&slot.send(envelope, LETTER).await), "{id:?}");
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn a_refusal_costs_the_mail_only_what_is_about_the_mail() {
    for stage in ["CONNECT", "EHLO", "MAIL"] {
        for answer in ["421 closing", "451 try later", "554 go away"] {
            let sent = sent_to(stage, Say(answer)).await;
            assert!(is_unreachable(&sent), "{stage} {answer}: {sent:?}");
        }
    }
    for stage in ["RCPT", "DATA", "."] {
        for (answer, verdict) in [
            ("450 busy", is_later as fn(&_) -> bool),
            ("452 4.2.2 full", is_later),
            ("451 4.3.0 not now", is_ours),
            ("550 5.1.1 unknown", is_never),
            ("550 5.1.1 unknown in relay recipient table", is_never),
            ("554 no", is_never),
            ("530 5.7.0 log in first", is_ours),
            ("450 4.1.8 sender's domain not found", is_ours),
            ("553 5.1.7 bad sender", is_ours),
        ] {
            let sent = sent_to(stage, Say(answer)).await;
            assert!(verdict(&sent), "{stage} {answer}: {sent:?}");
        }
    }
    for stage in ["RCPT", "DATA", "."] {
        assert!(is_later(&sent_to(stage, Say("421 closing")).await));
    }
    for relaying in [
        "554 5.7.1 <ann@example.org>: Relay access denied",
        "550 relay not permitted",
        "550 5.7.54 SMTP; Unable to relay recipient",
        "553 5.7.1 <door@post.example>: Sender address rejected: not logged in",
    ] {
        assert!(is_ours(&sent_to("RCPT", Say(relaying)).await), "{relaying}");
    }
}

/// The words may be a stranger's: whoever has an address with the word in it, or a mail server that is quoted.
#[tokio::test]
async fn whom_a_refusal_blames_is_read_from_its_code_and_then_from_its_words() {
    use Blames::{Nobody, Recipient, Us};
    for (stage, answer, blames) in [
        ("RCPT", "530 5.7.0 log in first", Us),
        ("RCPT", "530 log in first", Us),
        ("DATA", "530 log in first", Us),
        (".", "550 5.1.8 sender's domain not found", Us),
        (
            "RCPT",
            "553 5.7.1 <a@b.example>: Sender address rejected",
            Us,
        ),
        ("RCPT", "550 Sender verify failed", Us),
        (
            "RCPT",
            "554 5.7.1 <sender@b.example>: Relay access denied",
            Nobody,
        ),
        ("RCPT", "554 5.7.1 no relaying to sender.example", Nobody),
        (
            "RCPT",
            "550 5.1.1 <a@b.example>: host mx said: 550 sender rejected",
            Recipient,
        ),
        ("RCPT", "550 relay not permitted", Nobody),
        (
            "RCPT",
            "450 4.1.2 <a@b.example>: Domain not found",
            Recipient,
        ),
        ("RCPT", "452 4.2.2 full", Recipient),
        ("RCPT", "550 no such user", Recipient),
        ("RCPT", "451 later", Nobody),
        ("RCPT", "421 closing", Nobody),
        ("DATA", "451 4.3.0 not now", Nobody),
        (".", "554 5.7.1 spam, says the sender", Nobody),
        (".", "550 what a letter", Nobody),
        (".", "552 5.2.2 full", Recipient),
    ] {
        let sent = sent_to(stage, Say(answer)).await;
        let Err(Failure::Later(refusal) | Failure::Never(refusal)) = sent else {
            panic!("{stage} {answer}: {sent:?}");
        };
        assert_eq!(refusal.blames, blames, "{stage} {answer}");
    }
    let Err(Failure::Later(refusal)) = sent_to("RCPT", HangUp).await else {
        panic!("a hang-up is for now");
    };
    assert_eq!(refusal.blames, Nobody);
}

#[tokio::test]
async fn a_server_that_hangs_up_or_hangs_is_given_up_in_time() {
    let mut sends = JoinSet::new();
    for stage in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        for cue in [HangUp, Stall, Drip, Flood] {
            sends.spawn(async move { (stage, sent_to(stage, cue).await) });
        }
    }
    let began = Instant::now();
    for (stage, sent) in sends.join_all().await {
        match stage {
            "RCPT" | "DATA" | "." => assert!(is_later(&sent), "{stage}: {sent:?}"),
            _ => assert!(is_unreachable(&sent), "{stage}: {sent:?}"),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let Err(Failure::Unreachable(text)) = sent_to("EHLO", Flood).await else {
        panic!("a flood was taken for an answer");
    };
    assert_eq!(text, "greeting: the answer does not end");
}

#[tokio::test]
async fn a_send_ends_by_its_own_deadline_however_slow_each_stage() {
    let sink = Sink::new(|_, _| Dawdle).await;
    let mut smtp = sink.smtp();
    send(&mut slot(&smtp)).await.unwrap();
    let server = Arc::get_mut(&mut smtp.server).unwrap();
    server.deadlines.whole = Duration::from_millis(250); // enough for CONNECT and EHLO
    assert!(is_unreachable(&send(&mut slot(&smtp)).await));
    assert_eq!(sink.letters().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_no_fault_of_the_mail() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let sent = send(&mut slot(&smtp(port, SmtpSecurity::Plaintext, None))).await;
    assert!(is_unreachable(&sent), "{sent:?}");
}

#[tokio::test]
async fn after_a_refused_recipient_the_connection_is_reset_and_kept() {
    let refusal = |_, line: &str| match line {
        "RCPT TO:<bob@example.org>" => Say("550 5.1.1 no such user"),
        _ => Agree,
    };
    let sink = Sink::new(refusal).await;
    let mut slot = sink.slot();
    let to = "bob@example.org";
    let refused = slot.send(Envelope { to, ..ENVELOPE }, LETTER).await;
    assert!(is_never(&refused));
    send(&mut slot).await.unwrap();
    assert_eq!(sink.connections(), 1);
    assert_eq!(
        sink.verbs(),
        [
            "EHLO", "EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"
        ]
    );
}

/// The letter itself waits for its answer (RFC 2920, 3.1).
#[tokio::test]
async fn only_a_server_that_lets_us_is_told_ahead_and_never_the_letter() {
    for (offer, unawaited) in [
        ("250 sink", [].as_slice()),
        ("250-sink\r\n250 PIPELINING", &["MAIL", "RCPT"]),
    ] {
        let sink = Sink::new(move |_, line| match line {
            "EHLO door.example" => Say(offer),
            _ => Dawdle,
        })
        .await;
        let mut smtp = sink.smtp();
        Arc::get_mut(&mut smtp.server).unwrap().deadlines = DEADLINES;
        let mut slot = slot(&smtp);
        send(&mut slot).await.unwrap();
        send(&mut slot).await.unwrap();
        assert_eq!(sink.connections(), 1, "{offer}");
        assert_eq!(sink.letters(), [LETTER, LETTER], "{offer}");
        let verbs = ["EHLO", "EHLO", "MAIL", "RCPT", "DATA"];
        assert_eq!(sink.verbs(), [&verbs[..], &verbs[2..]].concat(), "{offer}");
        assert_eq!(sink.unawaited(), unawaited.repeat(2), "{offer}");
    }
}

/// A server may call for a letter that it has refused (RFC 2920, 3.1): it must not get it, nor half of it.
#[tokio::test]
async fn a_refusal_that_was_told_ahead_is_the_same_refusal_and_no_letter_follows_it() {
    const IN_TURN: &str = "250 sink";
    const AHEAD: &str = "250-sink\r\n250 PIPELINING";
    const NONE_TO_SEND_TO: &str = "503 5.5.1 no valid recipients";
    for (stage, refusal) in [
        ("MAIL", "451 4.3.0 not now"),
        ("MAIL", "550 5.1.8 who are you"),
        ("RCPT", "550 5.1.1 unknown"),
        ("RCPT", "452 4.2.2 full"),
        ("RCPT", "530 5.7.0 log in first"),
        ("DATA", "451 4.3.0 not now"),
        ("DATA", "554 no"),
    ] {
        let (in_turn, _) = refused_once(IN_TURN, stage, refusal, NONE_TO_SEND_TO).await;
        for called_for in [NONE_TO_SEND_TO, "354 go ahead"] {
            let (told_ahead, sink) = refused_once(AHEAD, stage, refusal, called_for).await;
            let case = format!("{stage} {refusal}, {called_for}");
            assert_eq!(told_ahead, in_turn, "{case}");
            assert_eq!(sink.letters(), [LETTER], "{case}: the next one");
            assert!(!sink.heard("Subject"), "{case}: its first line");
            let connections = match (stage, called_for) {
                ("MAIL", _) | ("RCPT", "354 go ahead") => 2,
                _ => 1,
            };
            assert_eq!(sink.connections(), connections, "{case}");
        }
    }
}

/// What is said of a letter that the server refuses at `stage`, before it takes the next one. To `DATA` after a refusal
/// it says `called_for`.
async fn refused_once(
    offer: &'static str,
    stage: &'static str,
    refusal: &'static str,
    called_for: &'static str,
) -> (String, Sink) {
    let refusals = Mutex::new((false, false)); // whether there was one, and whether it is of this letter
    let sink = Sink::new(move |_, line| {
        let (has_refused, is_refused) = &mut *refusals.lock().unwrap();
        if line.starts_with("EHLO") || line == "RSET" {
            *is_refused = false;
        }
        if line.starts_with(stage) && !*has_refused {
            (*has_refused, *is_refused) = (true, true);
            return Say(refusal);
        }
        match line {
            "EHLO door.example" => Say(offer),
            "DATA" if *is_refused => Say(called_for),
            _ if line.starts_with("RCPT") && *is_refused => Say("503 5.5.1 no sender"),
            _ => Agree,
        }
    })
    .await;
    let mut slot = sink.slot();
    let refused = send(&mut slot).await;
    send(&mut slot).await.unwrap();
    (format!("{refused:?}"), sink)
}

/// What the server said to the rest is heard before the sender is named once more.
#[tokio::test]
async fn a_server_that_chokes_on_dsn_is_asked_without_though_more_was_told_ahead() {
    let choked = Mutex::new(false);
    let sink = Sink::new(move |_, line| {
        let mut choked = choked.lock().unwrap();
        match line {
            "EHLO door.example" => Say("250-sink\r\n250-PIPELINING\r\n250 DSN"),
            _ if line.starts_with("MAIL") => {
                *choked = line.contains("ENVID");
                if *choked {
                    Say("555 5.5.4 unsupported")
                } else {
                    Agree
                }
            }
            _ if *choked => Say("503 5.5.1 no sender"),
            _ => Agree,
        }
    })
    .await;
    let mut slot = sink.slot();
    send(&mut slot).await.unwrap();
    send(&mut slot).await.unwrap();
    assert_eq!(sink.connections(), 1);
    assert_eq!(sink.letters(), [LETTER, LETTER]);
    let verbs = [
        "EHLO", "EHLO", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA",
    ];
    assert_eq!(sink.verbs(), [&verbs[..], &verbs[5..]].concat());
}

#[tokio::test]
async fn a_kept_connection_that_broke_or_had_its_share_is_replaced_once() {
    for cue in [
        HangUp,
        Stall,
        Say("421 too many letters"),
        Say("452 4.7.1 too many letters"),
    ] {
        let mails = Mutex::new(0);
        let sink = Sink::new(move |_, line| {
            if !line.starts_with("MAIL") {
                return Agree;
            }
            let mut mails = mails.lock().unwrap();
            *mails += 1;
            if *mails == 2 { cue } else { Agree }
        })
        .await;
        let mut slot = sink.slot();
        send(&mut slot).await.unwrap();
        send(&mut slot).await.unwrap();
        assert_eq!(sink.connections(), 2);
        assert_eq!(sink.letters().len(), 2);
    }
}

#[tokio::test]
async fn a_letter_whose_dot_was_sent_is_not_sent_again() {
    for cue in [HangUp, Stall] {
        let sink = Sink::new(move |_, line| if line == "." { cue } else { Agree }).await;
        assert!(is_later(&send(&mut sink.slot()).await));
        assert_eq!(sink.letters().len(), 1);
    }
}

/// Whether or not there is another letter to send.
#[tokio::test]
async fn a_connection_that_rests_is_left_politely_and_opened_anew() {
    let sink = Sink::agreeable().await;
    let clock = Clock::stopped_at(0);
    let mut slot = sink.smtp().slot(&clock);
    send(&mut slot).await.unwrap();
    clock.advance(Duration::from_millis(29_999));
    slot.let_go().await;
    assert!(!sink.heard("QUIT"), "it may be of use");
    send(&mut slot).await.unwrap();
    clock.advance(Duration::from_secs(30));
    slot.let_go().await;
    assert!(sink.heard("QUIT"));
    send(&mut slot).await.unwrap();
    assert_eq!(sink.connections(), 2);
}

#[tokio::test]
async fn a_connection_carries_ten_letters_or_as_many_as_the_server_says() {
    for (offer, fit) in [
        ("250 sink", 10),
        ("250-sink\r\n250 LIMITS MAILMAX=1000", 10),
        ("250-sink\r\n250 LIMITS RCPTMAX=1 MAILMAX=3", 3),
    ] {
        let sink = Sink::new(move |_, line| match line {
            "EHLO door.example" => Say(offer),
            _ => Agree,
        })
        .await;
        let mut slot = sink.slot();
        for _ in 0..fit {
            send(&mut slot).await.unwrap();
        }
        assert_eq!(sink.connections(), 1, "{offer}");
        send(&mut slot).await.unwrap();
        assert_eq!(
            (sink.connections(), sink.heard("QUIT")),
            (2, true),
            "{offer}"
        );
        assert_eq!(sink.letters().len(), fit + 1);
    }
}

/// A letter that was refused counts, too: servers count as they like.
#[tokio::test]
async fn a_connection_that_had_its_share_is_left_without_another_letter() {
    let sink = Sink::new(|_, line| match line {
        "." => Say("554 5.7.1 no"),
        _ => Agree,
    })
    .await;
    let mut slot = sink.slot();
    for _ in 0..10 {
        assert!(!sink.heard("QUIT"));
        assert!(is_never(&send(&mut slot).await));
        slot.let_go().await;
    }
    assert_eq!((sink.connections(), sink.heard("QUIT")), (1, true));
}

#[tokio::test]
async fn a_bounce_is_asked_to_be_without_the_letter_where_the_server_offers_that() {
    let plain = "MAIL FROM:<door@post.example>".to_owned();
    let with_dsn = format!("{plain} RET=HDRS ENVID=a-letter_1");
    let refusals = [
        "250 ok",
        "555 5.5.4 unsupported",
        "501 syntax",
        "504 not implemented",
    ];
    for (offers, answer) in [(false, refusals[0]), (true, refusals[0])]
        .into_iter()
        .chain(refusals[1..].iter().map(|refusal| (true, *refusal)))
    {
        let sink = Sink::new(move |_, line| match line {
            "EHLO door.example" if !offers => Say("250-sink\r\n250 8BITMIME"),
            _ if line.contains("ENVID") => Say(answer),
            _ => Agree,
        })
        .await;
        let mut slot = sink.slot();
        send(&mut slot).await.unwrap();
        send(&mut slot).await.unwrap();
        let named: Vec<_> = sink.commands();
        let named = named.iter().filter(|line| line.starts_with("MAIL"));
        let expected = match (offers, answer) {
            (false, _) => vec![&plain, &plain],
            (true, "250 ok") => vec![&with_dsn, &with_dsn],
            (true, _) => vec![&with_dsn, &plain, &plain],
        };
        assert_eq!(named.collect::<Vec<_>>(), expected, "{answer}");
    }
}

/// As OpenSMTPD does; one that hangs up over it is not there for us.
#[tokio::test]
async fn a_server_that_will_not_be_greeted_twice_offers_nothing() {
    for (cue, goes_through) in [(Say("503 5.5.1 already identified"), true), (HangUp, false)] {
        let greetings = Mutex::new(0);
        let sink = Sink::new(move |_, line| {
            *greetings.lock().unwrap() += i32::from(line.starts_with("EHLO"));
            match (line, *greetings.lock().unwrap()) {
                ("EHLO door.example", 2) => cue,
                _ => Agree,
            }
        })
        .await;
        let sent = send(&mut sink.slot()).await;
        assert_eq!(
            (sent.is_ok(), is_unreachable(&sent)),
            (goes_through, !goes_through)
        );
        assert!(!sink.commands().iter().any(|line| line.contains("ENVID")));
    }
}

#[tokio::test]
async fn a_send_dropped_half_way_leaves_no_connection_out_of_step() {
    let sink = Sink::new(|number, line| {
        if number == 1 && line == "." {
            Stall
        } else {
            Agree
        }
    })
    .await;
    let mut slot = sink.slot();
    assert!(
        timeout(Duration::from_millis(50), send(&mut slot))
            .await
            .is_err()
    );
    send(&mut slot).await.unwrap();
    assert_eq!(sink.connections(), 2);
}

#[tokio::test]
async fn an_answer_out_of_step_sends_no_letter_as_commands() {
    let sink = Sink::new(|_, line| match line {
        "DATA" => Say("250 ok, but to what"),
        _ => Agree,
    })
    .await;
    assert!(is_later(&send(&mut sink.slot()).await));
    assert_eq!(sink.verbs(), ["EHLO", "EHLO", "MAIL", "RCPT", "DATA"]);
    assert!(is_later(&sent_to(".", Say("354 go ahead")).await));
}

#[tokio::test]
async fn without_starttls_nothing_is_sent_in_the_clear() {
    let log_in = || Some(("door".to_owned(), "secret".to_owned()));
    for offer in [
        "250 sink",
        "250-sink\r\n250 AUTH PLAIN",
        "250-sink\r\n250 STARTTLS",
    ] {
        let sink = Sink::new(move |_, line| match line.split(' ').next() {
            Some("EHLO") => Say(offer),
            Some("STARTTLS") => Say("454 not now"),
            _ => Agree,
        })
        .await;
        let smtp = smtp(sink.port, SmtpSecurity::StartTls, log_in());
        let sent = send(&mut slot(&smtp)).await;
        assert!(is_unreachable(&sent), "{sent:?}");
        assert!(!sink.heard("AUTH") && !sink.heard("MAIL"));
    }
}

#[tokio::test]
async fn answers_slipped_in_behind_starttls_break_the_handshake() {
    for injected in [
        "220 go\r\n250 AUTH PLAIN",
        "220 go\r\n250-sink\r\n250 ok\r\n250 ok",
        "220 go\r\n25",
    ] {
        let sink = Sink::new(move |_, line| match line.split(' ').next() {
            Some("EHLO") => Say("250-sink\r\n250 STARTTLS"),
            Some("STARTTLS") => Say(injected),
            _ => Agree,
        })
        .await;
        let smtp = smtp(sink.port, SmtpSecurity::StartTls, None);
        let Err(Failure::Unreachable(text)) = send(&mut slot(&smtp)).await else {
            panic!("a letter was sent");
        };
        assert!(text.contains("corrupt message"), "{text}");
    }
}

#[tokio::test]
async fn a_plain_server_is_no_tls_server() {
    let sink = Sink::agreeable().await;
    let smtp = smtp(sink.port, SmtpSecurity::ImplicitTls, None);
    let sent = send(&mut slot(&smtp)).await;
    assert!(is_unreachable(&sent), "{sent:?}");
    assert!(!sink.heard("MAIL"));
}

#[tokio::test]
async fn a_log_in_comes_before_the_first_letter_and_its_refusal_is_no_fault_of_the_mail() {
    let sink = Sink::agreeable().await;
    let log_in = Some(("door".to_owned(), "secret".to_owned()));
    let smtp_with = |sink: &Sink| smtp(sink.port, SmtpSecurity::Plaintext, log_in.clone());
    send(&mut slot(&smtp_with(&sink))).await.unwrap();
    smtp_with(&sink).check("door@post.example").await.unwrap();
    assert_eq!(
        sink.verbs(),
        [
            "EHLO", "AUTH", "EHLO", "MAIL", "RCPT", "DATA", "EHLO", "AUTH", "EHLO", "MAIL", "RSET",
            "QUIT"
        ]
    );

    let echo = "535 5.7.8 no: AGRvb3IAc2VjcmV0";
    let wary = Sink::new(move |_, line| {
        if line.starts_with("AUTH") {
            Say(echo)
        } else {
            Agree
        }
    })
    .await;
    assert_eq!(
        smtp_with(&wary).check("door@post.example").await,
        Err(Failure::Unreachable("log-in: 535 5.7.8".into()))
    );
}

#[tokio::test]
async fn a_text_for_the_log_holds_no_address_no_secret_and_one_line() {
    let told = |sent: Result<(), Failure>| sent.unwrap_err().to_string();
    let refused =
        "550-5.1.1 <ann@example.org>: Recipient\r\n550 5.1.1 \x1b[31mrejected\u{2028} caf\u{e9}";
    assert_eq!(
        told(sent_to("RCPT", Say(refused)).await),
        "recipient: 550 5.1.1 <*@example.org>: Recipient ?[31mrejected? caf?"
    );
    let quoted = "554 5.7.1 listed: https://door.example/sign-in/link?token=s3cret";
    assert_eq!(told(sent_to(".", Say(quoted)).await), "letter: 554 5.7.1");
    let long = for_log(&format!(
        "to=ann@example.org,'b@x.example' {}",
        "y".repeat(300)
    ));
    assert!(long.starts_with("*@example.org,*@x.example' yyy"));
    assert_eq!(long.len(), 200);
}

#[test]
fn addresses_are_hosts_too_and_a_ca_file_must_hold_a_certificate() {
    let url = SmtpUrl {
        host: "[::1]".into(),
        port: 465,
        security: SmtpSecurity::ImplicitTls,
        credentials: None,
    };
    let smtp = Smtp::new(&url, None, "[2001:db8::1]").unwrap();
    assert_eq!(smtp.server.host, "::1");
    assert_eq!(smtp.server.hello.to_string(), "[IPv6:2001:db8::1]");
    for file in ["/nonexistent/ca.pem", "/dev/null"] {
        assert!(Smtp::new(&url, Some(Path::new(file)), "door.example").is_err());
    }
}

#[tokio::test]
async fn a_slot_knows_whether_another_is_connected() {
    let sink = Sink::agreeable().await;
    let smtp = sink.smtp();
    let (mut one, mut other) = (slot(&smtp), slot(&smtp));
    send(&mut one).await.unwrap();
    assert!(!one.is_not_alone() && other.is_not_alone());
    send(&mut other).await.unwrap();
    one.let_go().await;
    other.let_go().await;
    assert!(one.is_not_alone() && other.is_not_alone());
    one.close().await;
    assert!(one.is_not_alone() && !other.is_not_alone());
    drop(other);
    assert!(!one.is_not_alone());
}

/// A server that goes away takes all connections with it, and one that rests does not show it by itself.
#[tokio::test]
async fn a_connection_that_the_server_has_ended_counts_for_nobody() {
    for last_words in [Leave, Say("250 ok\r\n421 4.3.2 shutting down")] {
        let sink = Sink::new(move |_, line| if line == "." { last_words } else { Agree }).await;
        let smtp = sink.smtp();
        let (one, mut other) = (slot(&smtp), slot(&smtp));
        send(&mut other).await.unwrap();
        let began = Instant::now();
        while one.is_not_alone() {
            assert!(began.elapsed() < Duration::from_secs(5), "it still counts");
            sleep(Duration::from_millis(5)).await;
            other.let_go().await;
        }
        assert!(!sink.heard("QUIT"), "there is nobody to say it to");
    }
}

/// Both ask for one of few places at the same time: who is sent away is not to think that nobody gets in.
#[tokio::test]
async fn a_slot_that_is_sent_away_knows_of_one_that_was_let_in() {
    for (sent_away, is_answer) in [(Say("421 too many"), true), (HangUp, false)] {
        let sink = Sink::new(move |number, line| match (number, line) {
            (1, "CONNECT") => Stall,
            (_, "CONNECT") => sent_away,
            _ => Agree,
        })
        .await;
        let smtp = sink.smtp();
        let mut first = slot(&smtp);
        let waiting = tokio::spawn(async move { send(&mut first).await });
        while sink.connections() == 0 || smtp.server.let_in() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        let mut second = slot(&smtp);
        assert!(is_unreachable(&send(&mut second).await));
        assert_eq!(second.is_not_alone(), is_answer);
        assert!(is_unreachable(&waiting.await.unwrap()));
        assert!(!second.is_not_alone());
    }
}
