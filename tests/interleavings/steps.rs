//! What can happen in a sequence, and how often.

use proptest::prelude::*;

use super::model::{DAY, HOUR, MINUTE, Time};

/// The last of them is to be had by invitation.
pub const ADDRESSES: [&str; 4] = [
    "ada@example.org",
    "ben@example.org",
    "cleo@example.org",
    "dora@example.net",
];
pub const PASSWORDS: [&str; 2] = [
    "a horse that eats staples",
    "quite another horse altogether",
];
pub const BROWSERS: usize = 3;
pub const PROGRAMS: usize = 2;

/// How every sequence begins: with two people, the first of whom has a program, too, strangers who are curious, and an
/// invitation.
pub const BEGINNING: [Step; 7] = [
    Step::Browser(0, InBrowser::Register(0)),
    Step::Browser(0, InBrowser::UseLink(0, 0)),
    Step::Browser(1, InBrowser::Register(1)),
    Step::Browser(1, InBrowser::UseLink(0, 1)),
    Step::Program(0, ByProgram::SignIn(0, Guess::Right)),
    Step::Around(Around::StrangersAsk(0)),
    Step::Around(Around::Invite(ADDRESSES.len() - 1)),
];

/// Addresses, passwords, browsers and programs are numbers; a mail is the newest but so many.
#[derive(Clone, Debug)]
pub enum Step {
    Browser(usize, InBrowser),
    Program(usize, ByProgram),
    Around(Around),
}

/// What somebody does in a browser.
#[derive(Clone, Debug)]
pub enum InBrowser {
    Register(usize),
    AskToSignIn(usize),
    AskToReset(usize),
    /// That of this mail; with this password where one is chosen.
    UseLink(usize, usize),
    /// That of this mail.
    TypeCode(usize),
    SignIn(usize, Guess),
    Reauthenticate(Guess),
    ChangePassword(usize),
    AskForAddress(usize),
    Delete,
    SignOut,
    EndOtherSessions,
    EndLinks,
    /// The one that was written last.
    FollowNotification,
    /// Somebody steals its cookies.
    CopyJar,
    /// And before the mail leaves that was asked for, something happens to the nodes.
    AskAmid(Trouble, usize),
}

/// What a program does.
#[derive(Clone, Debug)]
pub enum ByProgram {
    AskForCode(usize),
    TypeCode(usize),
    SignIn(usize, Guess),
    Refresh,
    /// The answer never arrives: the program keeps the token that it has used.
    LoseRefresh,
    Revoke,
    ChangePassword(usize),
    AskForAddress(usize),
    /// Somebody steals its access token.
    CopyToken,
}

/// What happens to nodes while mail waits.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// A node with another key takes over.
    KeyIsReplaced,
    /// A node meets the mail that has another key alone.
    NodesDisagree,
    /// A node dies that has claimed it.
    NodeDies,
    /// A node that has claimed it is paused, and says this of it once another has taken it up.
    NodeIsPaused(Late),
}

/// What a node says of mail that is not its own any more.
#[derive(Clone, Copy, Debug)]
pub enum Late {
    GivesBack,
    PutsOff,
    Refuses,
    Drops,
    Forgets,
    HasSent,
}

/// What happens around them.
#[derive(Clone, Debug)]
pub enum Around {
    /// A scanner, say, that has only the link.
    NameWrongAddress(usize),
    WriteNotification(usize),
    /// By the operator.
    Invite(usize),
    Withdraw(usize),
    /// Somebody asks for this address who has nothing to do with it, and somebody else for one that nobody has.
    StrangersAsk(usize),
    /// All of them type a wrong code.
    StrangersGuess,
    Wait(Time),
    /// Another node takes over.
    Restart,
    /// One that seals with another key.
    ReplaceKey,
    /// One where nobody comes in who is not invited, or whoever came in before.
    SwitchSignUp,
}

/// What somebody types who is asked for the password.
#[derive(Clone, Copy, Debug)]
pub enum Guess {
    Right,
    Wrong,
}

/// Any step. What an owner does comes often: strangers have little to try.
pub fn step() -> impl Strategy<Value = Step> {
    let browser =
        (0..BROWSERS, in_browser()).prop_map(|(browser, does)| Step::Browser(browser, does));
    let program =
        (0..PROGRAMS, by_program()).prop_map(|(program, does)| Step::Program(program, does));
    prop_oneof![65 => browser, 17 => program, 12 => around().prop_map(Step::Around)]
}

fn in_browser() -> impl Strategy<Value = InBrowser> {
    prop_oneof![
        4 => address().prop_map(InBrowser::Register),
        4 => address().prop_map(InBrowser::AskToSignIn),
        3 => address().prop_map(InBrowser::AskToReset),
        14 => (mail(), password()).prop_map(|(mail, password)| InBrowser::UseLink(mail, password)),
        4 => mail().prop_map(InBrowser::TypeCode),
        5 => (address(), guess()).prop_map(|(address, guess)| InBrowser::SignIn(address, guess)),
        8 => guess().prop_map(InBrowser::Reauthenticate),
        3 => password().prop_map(InBrowser::ChangePassword),
        7 => other_address().prop_map(InBrowser::AskForAddress),
        1 => Just(InBrowser::Delete),
        2 => Just(InBrowser::SignOut),
        1 => Just(InBrowser::EndOtherSessions),
        1 => Just(InBrowser::EndLinks),
        3 => Just(InBrowser::FollowNotification),
        3 => Just(InBrowser::CopyJar),
        2 => (trouble(), address()).prop_map(|(trouble, address)| InBrowser::AskAmid(trouble, address)),
    ]
}

fn by_program() -> impl Strategy<Value = ByProgram> {
    prop_oneof![
        2 => address().prop_map(ByProgram::AskForCode),
        3 => mail().prop_map(ByProgram::TypeCode),
        3 => (address(), guess()).prop_map(|(address, guess)| ByProgram::SignIn(address, guess)),
        2 => Just(ByProgram::Refresh),
        1 => Just(ByProgram::LoseRefresh),
        1 => Just(ByProgram::Revoke),
        2 => password().prop_map(ByProgram::ChangePassword),
        2 => address().prop_map(ByProgram::AskForAddress),
        2 => Just(ByProgram::CopyToken),
    ]
}

fn around() -> impl Strategy<Value = Around> {
    prop_oneof![
        1 => mail().prop_map(Around::NameWrongAddress),
        2 => address().prop_map(Around::WriteNotification),
        2 => invited().prop_map(Around::Invite),
        3 => invited().prop_map(Around::Withdraw),
        1 => address().prop_map(Around::StrangersAsk),
        2 => Just(Around::StrangersGuess),
        4 => wait().prop_map(Around::Wait),
        1 => Just(Around::Restart),
        1 => Just(Around::ReplaceKey),
        2 => Just(Around::SwitchSignUp),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        Just(Trouble::KeyIsReplaced),
        Just(Trouble::NodesDisagree),
        Just(Trouble::NodeDies),
        late().prop_map(Trouble::NodeIsPaused),
    ]
}

fn late() -> impl Strategy<Value = Late> {
    prop_oneof![
        Just(Late::GivesBack),
        Just(Late::PutsOff),
        Just(Late::Refuses),
        Just(Late::Drops),
        Just(Late::Forgets),
        Just(Late::HasSent),
    ]
}

fn address() -> impl Strategy<Value = usize> {
    0..ADDRESSES.len()
}

/// One that nobody has to begin with, more often than not.
fn other_address() -> impl Strategy<Value = usize> {
    prop_oneof![2 => 2..ADDRESSES.len(), 1 => address()]
}

/// Where it makes a difference, as often as not.
fn invited() -> impl Strategy<Value = usize> {
    prop_oneof![Just(ADDRESSES.len() - 1), address()]
}

fn password() -> impl Strategy<Value = usize> {
    0..PASSWORDS.len()
}

fn mail() -> impl Strategy<Value = usize> {
    0..4_usize
}

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![4 => Just(Guess::Right), 1 => Just(Guess::Wrong)]
}

/// Short ones come often: after a long one little is left to try.
fn wait() -> impl Strategy<Value = Time> {
    prop_oneof![
        3 => Just(MINUTE),
        3 => Just(11 * MINUTE),
        1 => Just(40 * MINUTE),
        1 => Just(2 * HOUR),
        1 => Just(2 * DAY),
        1 => Just(8 * DAY),
    ]
}
