//! What the scheduler tells about its single steps: a hook, and a recording that viewers open.
//!
//! A trace point is one predictable branch on memory that is warm: in a worker on [`Lane`], which is there only when
//! somebody asked, and in its turns, wakes and spawns on one flag that stands for histograms too; elsewhere on `Core::tracing`. An event that nobody wants is not even built.
//!
//! - `event.rs`     what the hook is called with
//! - `note.rs`      what is recorded, and its four words
//! - `ring.rs`      the last so many of them, written by one thread and copied by any
//! - `recorder.rs`  a runtime's rings, and the file that they go to
//! - `lane.rs`      a worker's trace points
//! - `outside.rs`   those of other threads
//! - `chrome.rs`    the recording as JSON
//! - `exit.rs`      processes that end without telling the runtime

mod chrome;
mod event;
mod exit;
mod lane;
mod note;
mod outside;
mod recorder;
mod ring;

pub use event::{Event, Tracer};
pub(crate) use lane::Lane;
pub(crate) use note::Note;
pub(crate) use recorder::{EVENTS, MAX_EVENTS, MIN_EVENTS, Recorder, say};
