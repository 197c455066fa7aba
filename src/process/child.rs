//! A process that was started.

use super::{ChildStderr, ChildStdin, ChildStdout, exit::Process, orphans};
use crate::io::AsyncReadExt;
use futures_io::AsyncRead;
use futures_util::future::try_join3;
use std::{
    fmt,
    future::poll_fn,
    io, mem,
    process::{self, ExitStatus, Output},
    task::{Context, Poll},
};

/// A child process.
///
/// Dropped before its end it goes on, unless [`Command::kill_on_drop`](super::Command::kill_on_drop) was set; when it ends it is
/// reaped by a task, in the runtime that was current at the drop. If that runtime ends first, the child is reaped after the
/// next start of a process, or else with this process.
pub struct Child {
    /// The child's standard input, if it was piped.
    pub stdin: Option<ChildStdin>,
    /// The child's standard output, if it was piped.
    pub stdout: Option<ChildStdout>,
    /// The child's standard error, if it was piped.
    pub stderr: Option<ChildStderr>,
    /// None while it is dropped.
    process: Option<Process>,
    kill_on_drop: bool,
}

impl Child {
    /// `child` was just started. When its pipes cannot be registered, it is killed.
    pub(super) fn new(mut child: process::Child, kill_on_drop: bool) -> io::Result<Child> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Some(Process::new(child));
        let mut child = Child { stdin: None, stdout: None, stderr: None, process, kill_on_drop: true };
        child.stdin = stdin.map(TryInto::try_into).transpose()?;
        child.stdout = stdout.map(TryInto::try_into).transpose()?;
        child.stderr = stderr.map(TryInto::try_into).transpose()?;
        child.kill_on_drop = kill_on_drop;
        Ok(child)
    }

    /// Its number in the system. It keeps it until it was reaped, by [`wait`](Self::wait) or [`try_wait`](Self::try_wait);
    /// then another process may get it.
    pub fn id(&self) -> u32 {
        self.get_ref().id()
    }

    /// Kills it (`SIGKILL`). It still is to be waited for. Does nothing once it was reaped.
    ///
    /// # Errors
    ///
    /// The operating system's, when it may not be killed.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process().child.kill()
    }

    /// Waits for its end, and tells how it was, as often as it is asked. Its standard input is closed first, if it was not
    /// taken, so that a child that reads to the end does not wait for us.
    ///
    /// The end of the child is not the end of what its pipes bring: there may be more in them, and a grandchild may have them.
    ///
    /// # Errors
    ///
    /// The operating system's: when it has no descriptor for this, after which the child may be waited for again; and when
    /// somebody else in this process has reaped the child. "The runtime is gone".
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost but the standard input.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        poll_fn(|cx| self.poll_wait(cx)).await
    }

    /// As [`wait`](Self::wait), for those who write futures by hand; but leaves the standard input as it is.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        self.process().poll_wait(cx)
    }

    /// How it ended; none if it has not. Leaves the standard input as it is.
    ///
    /// # Errors
    ///
    /// The operating system's, when somebody else in this process has reaped the child.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process().child.try_wait()
    }

    /// Closes its standard input, reads what its other pipes bring, both to their ends, and waits for its end. What was not
    /// piped, or was taken, is empty.
    ///
    /// A pipe ends when all who have it have closed it, grandchildren too.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait), and the operating system's for reading.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the child is dropped, and what was read is lost.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        let (out, err) = (self.stdout.take(), self.stderr.take());
        // Reaped as soon as it ends, whoever has the pipes.
        let (status, stdout, stderr) = try_join3(self.wait(), read_all(out), read_all(err)).await?;
        Ok(Output { status, stdout, stderr })
    }

    fn get_ref(&self) -> &process::Child {
        &self.process.as_ref().expect("it is there until the drop").child
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it is there until the drop")
    }
}

async fn read_all<R: AsyncRead + Unpin>(pipe: Option<R>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // The first read takes a page, not the few bytes with which an empty Vec begins to grow.
        bytes.reserve(4096);
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(mut process) = mem::take(&mut self.process) else { return };
        if self.kill_on_drop {
            // An error means that there is nothing to kill.
            let _ = process.child.kill();
        }
        orphans::adopt(process);
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("kill_on_drop", &self.kill_on_drop)
            .finish_non_exhaustive()
    }
}
