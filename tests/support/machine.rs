//! A machine to install on, made by `machine.sh`: the files of this one, a systemd and a network of its own, and a shell that
//! does what it is told, as root. Whatever happens there is gone when the test ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What is not so after this long does not come to be so.
const PATIENCE: Duration = Duration::from_secs(20);

/// Such a machine, with its shell. Gone when dropped.
pub struct Machine {
    shell: Child,
    commands: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    /// What it said on standard output and standard error.
    pub said: String,
}

impl Machine {
    /// A fresh one; these files are in the folder that its shell begins in.
    pub fn with(files: &[&Path]) -> Self {
        let made_by = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/machine.sh");
        let mut shell = as_root(&made_by)
            .args(files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            commands: shell.stdin.take(),
            said: BufReader::new(shell.stdout.take().unwrap()),
            shell,
        }
    }

    /// Runs it, and fails if it does.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> String {
        let ended = self.attempt(command);
        assert_eq!(ended.code, 0, "{command}: {}", ended.said);
        ended.said
    }

    /// Runs it, and says how it ended. A folder that it enters stays entered.
    pub fn attempt(&mut self, command: &str) -> Ended {
        const END: &str = "=== ended with ";
        let commands = self.commands.as_mut().unwrap();
        writeln!(
            commands,
            "{{ {command}\n}} 2>&1 </dev/null; code=$?; echo; echo \"{END}$code\""
        )
        .unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let length = self.said.read_line(&mut line).unwrap();
            assert!(length > 0, "the shell is gone amid {command}: {said}");
            if let Some(code) = line.strip_prefix(END) {
                let code = code.trim().parse().unwrap();
                return Ended {
                    code,
                    said: said.trim_end().to_owned(),
                };
            }
            said += &line;
        }
    }

    /// Runs it until it goes well; not for ever.
    #[track_caller]
    pub fn wait_for(&mut self, command: &str) -> String {
        let began = Instant::now();
        loop {
            let ended = self.attempt(command);
            if ended.code == 0 {
                return ended.said;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for {command}: {}",
                ended.said
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The files and folders there, a line each: mode, owner, group, name.
    pub fn list(&mut self, places: &str) -> String {
        self.run(&format!(
            "find {places} -printf '%M %u:%g %p\\n' 2>/dev/null | sort -k 3"
        ))
    }
}

/// `tests/run` sees to it that whoever may not do this is asked for no password.
pub fn as_root(program: &Path) -> Command {
    let asked = Command::new("id").arg("--user").output().unwrap();
    if asked.stdout == b"0\n" {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("--non-interactive").arg(program);
    sudo
}

impl Drop for Machine {
    fn drop(&mut self) {
        // At the end of its input the shell ends, and then all that runs there is killed.
        drop(self.commands.take());
        let _ = self.shell.wait();
    }
}
