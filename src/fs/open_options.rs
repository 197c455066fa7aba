//! Opening files with options.

use super::{File, off::off};
use std::{fs, io, path::Path};

/// How a file is opened; see also [`File::open`], [`File::create`] and [`File::create_new`].
///
/// Its methods are those of std's type of this name; those that are extension traits there are methods here.
#[derive(Clone, Debug)]
pub struct OpenOptions(fs::OpenOptions);

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Nothing is set.
    pub fn new() -> OpenOptions {
        OpenOptions(fs::OpenOptions::new())
    }

    /// To read from it.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.0.read(read);
        self
    }

    /// To write to it.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.0.write(write);
        self
    }

    /// To write at its end, wherever that is at the time of each write.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.0.append(append);
        self
    }

    /// To empty it; wants `write`.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.0.truncate(truncate);
        self
    }

    /// To create it if it is missing; wants `write` or `append`.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.0.create(create);
        self
    }

    /// To create it, and to fail if it is there.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.0.create_new(create_new);
        self
    }

    /// The permission bits of a file that is created, less the process's mask. Otherwise 0o666.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        std::os::unix::fs::OpenOptionsExt::mode(&mut self.0, mode);
        self
    }

    /// More flags for open(2), such as `O_NOFOLLOW`.
    #[cfg(unix)]
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut self.0, flags);
        self
    }

    /// `dwDesiredAccess` of `CreateFile`, in place of what read, write and append make of it.
    #[cfg(windows)]
    pub fn access_mode(&mut self, access: u32) -> &mut OpenOptions {
        std::os::windows::fs::OpenOptionsExt::access_mode(&mut self.0, access);
        self
    }

    /// `dwShareMode` of `CreateFile`. Otherwise others may read, write and remove the file.
    #[cfg(windows)]
    pub fn share_mode(&mut self, share: u32) -> &mut OpenOptions {
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut self.0, share);
        self
    }

    /// More flags for `dwFlagsAndAttributes` of `CreateFile`.
    #[cfg(windows)]
    pub fn custom_flags(&mut self, flags: u32) -> &mut OpenOptions {
        std::os::windows::fs::OpenOptionsExt::custom_flags(&mut self.0, flags);
        self
    }

    /// Attributes for `dwFlagsAndAttributes` of `CreateFile`.
    #[cfg(windows)]
    pub fn attributes(&mut self, attributes: u32) -> &mut OpenOptions {
        std::os::windows::fs::OpenOptionsExt::attributes(&mut self.0, attributes);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// The operating system's: `NotFound`, `PermissionDenied`, `AlreadyExists` and others; `InvalidInput` for options that
    /// contradict each other.
    ///
    /// # Cancel safety
    ///
    /// A file that was opened after the future was dropped is closed again. It may have been created.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        off(move || File::open_with(&options, &path)).await
    }
}

impl From<fs::OpenOptions> for OpenOptions {
    fn from(options: fs::OpenOptions) -> OpenOptions {
        OpenOptions(options)
    }
}
