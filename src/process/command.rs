//! What to start, and how: std's `Command`, whose children are ours.

use super::{Child, ExitStatus, Output, Stdio, orphans};
use std::{
    ffi::OsStr,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{self, CommandArgs, CommandEnvs},
};

/// A program to start, its arguments, its surroundings. The methods are those of [`std::process::Command`]; so is what happens
/// when nothing is said.
///
/// [`spawn`](Self::spawn), [`status`](Self::status) and [`output`](Self::output) start the program within the call, in which the
/// system copies this process and waits until the copy has become the other program: usually a millisecond or less.
#[derive(Debug)]
pub struct Command {
    std: process::Command,
    kill_on_drop: bool,
    /// Which streams the user has set: input, output, error. `output` leaves those alone.
    set: [bool; 3],
}

impl Command {
    /// A program by its path, or by a name that is looked for in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        process::Command::new(program).into()
    }

    /// Adds an argument. No shell sees it.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(&mut self, arguments: impl IntoIterator<Item = S>) -> &mut Command {
        self.std.args(arguments);
        self
    }

    /// Sets the name under which the program sees itself, its argument 0.
    pub fn arg0(&mut self, argument: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg0(argument);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, pairs: impl IntoIterator<Item = (K, V)>) -> &mut Command {
        self.std.envs(pairs);
        self
    }

    /// Removes a variable of the environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Starts from an empty environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Sets the directory in which it begins.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.std.current_dir(directory);
        self
    }

    /// Sets its standard input. By default it is ours, and empty for [`output`](Self::output).
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.std.stdin(stdin);
        self.set[0] = true;
        self
    }

    /// Sets its standard output. By default it is ours, and a pipe for [`output`](Self::output).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.std.stdout(stdout);
        self.set[1] = true;
        self
    }

    /// Sets its standard error. By default it is ours, and a pipe for [`output`](Self::output).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.std.stderr(stderr);
        self.set[2] = true;
        self
    }

    /// Whether a child that is dropped before it was reaped is killed. Default: no. It holds for a [`status`](Self::status) or
    /// [`output`](Self::output) that is given up as well.
    pub fn kill_on_drop(&mut self, on: bool) -> &mut Command {
        self.kill_on_drop = on;
        self
    }

    /// Sets the user that it runs as.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// Sets the group that it runs as.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }

    /// Sets its process group; 0 makes one of its own.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.std.process_group(group);
        self
    }

    /// Adds a closure that the new process runs before it becomes the program. Its error becomes that of the start.
    ///
    /// # Safety
    ///
    /// As for [`CommandExt::pre_exec`]: it runs in a copy of this process that has one thread of it and whatever the others had
    /// locked, so it may do only what a signal handler may do. It must not use anything of gambol's.
    pub unsafe fn pre_exec(&mut self, closure: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> &mut Command {
        // SAFETY: the caller promises the same.
        unsafe { self.std.pre_exec(closure) };
        self
    }

    /// Starts it. Outside of a runtime, the default one is started for its pipes.
    ///
    /// # Errors
    ///
    /// The operating system's: `NotFound` when there is no such program, `PermissionDenied`, no more processes, no more
    /// descriptors. "The runtime is gone". If a pipe cannot be given to the poller, the child has begun already; it is killed.
    pub fn spawn(&mut self) -> io::Result<Child> {
        orphans::adopt_left();
        Child::new(self.std.spawn()?, self.kill_on_drop)
    }

    /// Starts it, within this call, and waits for its end. Pipes to it are closed at once.
    ///
    /// # Errors
    ///
    /// Of [`spawn`](Self::spawn) and of [`Child::wait`].
    ///
    /// # Cancel safety
    ///
    /// The child is dropped; see [`kill_on_drop`](Self::kill_on_drop).
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let child = self.spawn();
        async move {
            let mut child = child?;
            drop((child.stdout.take(), child.stderr.take()));
            child.wait().await
        }
    }

    /// Starts it, within this call, and waits for its end and all that it writes. Standard output and error are piped and
    /// its input is empty, where nothing else was set.
    ///
    /// # Errors
    ///
    /// Of [`spawn`](Self::spawn) and of [`Child::wait_with_output`].
    ///
    /// # Cancel safety
    ///
    /// The child is dropped; see [`kill_on_drop`](Self::kill_on_drop).
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<> {
        self.set_defaults(Stdio::null, Stdio::piped);
        let child = self.spawn();
        // For the next start.
        self.set_defaults(Stdio::inherit, Stdio::inherit);
        async move { child?.wait_with_output().await }
    }

    /// Sets the streams that the user has not set.
    fn set_defaults(&mut self, input: fn() -> Stdio, outputs: fn() -> Stdio) {
        let [stdin, stdout, stderr] = self.set;
        if !stdin {
            self.std.stdin(input());
        }
        if !stdout {
            self.std.stdout(outputs());
        }
        if !stderr {
            self.std.stderr(outputs());
        }
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.std.get_program()
    }

    /// The arguments, without argument 0.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.std.get_args()
    }

    /// The variables of the environment that were set or removed.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.std.get_envs()
    }

    /// The directory, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.std.get_current_dir()
    }

    /// Whether [`kill_on_drop`](Self::kill_on_drop) was set.
    pub fn get_kill_on_drop(&self) -> bool {
        self.kill_on_drop
    }

    /// Std's command.
    pub fn as_std(&self) -> &process::Command {
        &self.std
    }

    /// Std's command, for what is not repeated here. Streams that are set there count as not set for
    /// [`output`](Self::output).
    pub fn as_std_mut(&mut self) -> &mut process::Command {
        &mut self.std
    }

    /// Std's command.
    pub fn into_std(self) -> process::Command {
        self.std
    }
}

/// Streams that were set count as not set for [`output`](Command::output).
impl From<process::Command> for Command {
    fn from(std: process::Command) -> Command {
        Command { std, kill_on_drop: false, set: [false; 3] }
    }
}
