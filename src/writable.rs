//! Whether a file can be made where it is to be, and why not: asked by making one.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, absolute};

use crate::error::{Error, Result};
use crate::random;

/// Whether a file could be made at `path`, and the folders around it that are missing. Nothing stays behind.
pub fn could_make(path: &Path) -> Result<()> {
    let path = absolute(path).map_err(|why| trouble(path, &why))?;
    // A folder that we may not look into is not known to be missing, and is the one that is in the way.
    let is_there = |folder: &&Path| !matches!(folder.try_exists(), Ok(false));
    let folder = path.ancestors().skip(1).find(is_there).unwrap_or(&path);
    make_and_remove(&folder.join(format!(".{}", random::id()))).map_err(|why| trouble(folder, &why))
}

fn make_and_remove(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    fs::remove_file(path)
}

fn trouble(folder: &Path, why: &io::Error) -> Error {
    Error::misconfigured(format!(
        "no file can be made in {}: {why}{}",
        folder.display(),
        whose(folder)
    ))
}

/// What is to be added where a file or folder is refused to us: mostly it was made by root, or by whoever tried the
/// program first. Nothing, if it is ours.
pub fn whose(path: &Path) -> String {
    let owner = |path: &Path| fs::metadata(path).map(|of| of.uid()).ok();
    match (owner(path), owner(Path::new("/proc/self"))) {
        (Some(owner), Some(we)) if owner != we => {
            format!(" (it belongs to user {owner}, and this is user {we})")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_file_can_be_made_nothing_is_left() {
        let folder = std::env::temp_dir().join(format!("doorpost-{}", random::id()));
        fs::create_dir(&folder).unwrap();
        could_make(&folder.join("file")).unwrap();
        could_make(&folder.join("one/more/file")).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);

        fs::write(folder.join("file"), "").unwrap();
        let refused = could_make(&folder.join("file/below"))
            .unwrap_err()
            .to_string();
        assert!(refused.contains("/file: Not a directory"), "{refused}");
        fs::remove_dir_all(folder).unwrap();
    }
}
