//! What systemd hands to a service as files that nobody else can read: `LoadCredential=`, `LoadCredentialEncrypted=`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::mistake::{Mistake, Parsed};

/// The credentials of this service, if it has any.
pub(super) struct Credentials(Option<PathBuf>);

impl Credentials {
    /// The variable that says where they are; systemd sets it.
    pub(super) const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

    pub(super) fn of(directory: Option<OsString>) -> Self {
        Self(directory.map(PathBuf::from))
    }

    /// The file of the credential with this name. One that is there and cannot be looked at is there.
    pub(super) fn take(&self, name: &str) -> Option<PathBuf> {
        let file = self.0.as_ref()?.join(name);
        fs::symlink_metadata(&file).is_ok().then_some(file)
    }

    /// The file that a variable names: a bare name may be that of a credential, or of a file in the working directory,
    /// but not both.
    pub(super) fn or_here(&self, named: OsString) -> Parsed<PathBuf> {
        let here = PathBuf::from(named);
        let is_bare = here.components().count() == 1 && here.is_relative();
        let credential = here
            .to_str()
            .filter(|_| is_bare)
            .and_then(|name| self.take(name));
        match credential {
            None => Ok(here),
            Some(credential) if !is_there(&here) => Ok(credential),
            Some(_) => Err(Mistake::new(
                "names a credential and a file in this folder",
                "a path with a / in it for the file, or remove it",
            )),
        }
    }
}

fn is_there(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok()
}
