//! Making directories with options.

use super::off::off;
use std::{fs, io, path::Path};

/// How directories are made; see also [`create_dir`](super::create_dir) and [`create_dir_all`](super::create_dir_all).
#[derive(Debug, Default)]
pub struct DirBuilder {
    recursive: bool,
    #[cfg(unix)]
    mode: Option<u32>,
}

impl DirBuilder {
    /// Makes one directory, for everybody whom the process's mask does not exclude.
    pub fn new() -> DirBuilder {
        DirBuilder::default()
    }

    /// Whether those above it that are missing are made as well. A directory that is there already is then no error.
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// The permission bits of what is made, less the process's mask. Otherwise 0o777.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = Some(mode);
        self
    }

    /// Makes the directory.
    ///
    /// # Errors
    ///
    /// The operating system's: `AlreadyExists`, `NotFound` when its parent is missing, and others.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(self.recursive);
        #[cfg(unix)]
        if let Some(mode) = self.mode {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
        }
        let path = path.as_ref().to_owned();
        off(move || builder.create(path)).await
    }
}
