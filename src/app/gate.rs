//! Who may pass to which app, as of now: the rules of `GATE_FILE`, which may change while Doorpost serves.

use std::sync::{Arc, PoisonError, RwLock};

use crate::config::{GateFile, GateRules, Mistake};

/// The rules that hold, shared by all that serve; none without a file of them.
#[derive(Clone)]
pub struct Gate(Option<Arc<Rules>>);

struct Rules {
    file: GateFile,
    now: RwLock<Arc<GateRules>>,
}

impl Gate {
    /// With the rules that stood in the file at the start.
    pub fn new(file: Option<&GateFile>) -> Self {
        Self(file.map(|file| {
            Arc::new(Rules {
                file: file.clone(),
                now: RwLock::new(file.rules.clone()),
            })
        }))
    }

    /// The rules as they are; none where whoever is signed in may pass. Whoever decides by them takes them once.
    pub fn rules(&self) -> Option<Arc<GateRules>> {
        let rules = self.0.as_ref()?;
        let now = rules.now.read().unwrap_or_else(PoisonError::into_inner);
        Some(now.clone())
    }

    /// Reads the file once more, and gives the rules that hold from now on. With a mistake in it those of before stay: a
    /// slip of the pen must neither lock everybody out nor let anybody in.
    pub fn read_again(&self) -> Result<Option<Arc<GateRules>>, Mistake> {
        let Some(rules) = &self.0 else {
            return Ok(None);
        };
        let read = Arc::new(rules.file.read_again()?);
        *rules.now.write().unwrap_or_else(PoisonError::into_inner) = read.clone();
        Ok(Some(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::fs;

    #[test]
    fn a_mistake_changes_no_rule_and_its_mending_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.toml");
        let write =
            |name: &str| fs::write(&path, format!("[[host]]\nname = \"{name}\"\n")).unwrap();
        write("wiki.example.org");
        let variable = ("GATE_FILE", path.to_str().unwrap());
        let config = Config::from_environment([variable]).unwrap();
        let gate = Gate::new(config.gateway.gate.as_ref());
        let elsewhere = gate.clone();
        let names = |host: &str| {
            elsewhere
                .rules()
                .is_some_and(|rules| rules.of(host).is_some())
        };
        assert!(names("wiki.example.org"));

        write("no host");
        assert!(gate.read_again().is_err());
        assert!(names("wiki.example.org"));
        write("blog.example.org");
        assert!(gate.read_again().is_ok_and(|rules| rules.is_some()));
        assert!(names("blog.example.org") && !names("wiki.example.org"));
    }

    #[test]
    fn without_a_file_there_is_nothing_to_read_again() {
        let gate = Gate::new(None);
        assert!(gate.rules().is_none());
        assert!(gate.read_again().is_ok_and(|rules| rules.is_none()));
    }
}
