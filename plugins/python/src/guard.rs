//! No orphans: a process group ends when whoever started it does, however that ends.
//!
//! A worker that hangs is killed, and then nobody is left to end its Python, which may be deep in native code and
//! hear nothing. So a shell leads the group and waits for a line that never comes: when the other end of its
//! standard input closes, it kills the group, itself included.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
};

/// The leader of a process group.
pub struct Guard {
    shell: Child,
    line: Option<ChildStdin>,
}

impl Guard {
    /// A group without anyone but its guard.
    pub fn new() -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "read line; kill -9 0"]).process_group(0);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let line = shell.stdin.take();
        Ok(Self { shell, line })
    }

    /// Starts a command in the group.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.process_group(self.shell.id().cast_signed()).spawn()
    }

    /// Kills everyone in the group.
    pub fn end(&mut self) {
        drop(self.line.take());
        // The shell kills itself last of all, or is gone already.
        let _ = self.shell.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_group_ends_with_its_guard() {
        let guard = Guard::new().expect("a shell");
        let mut child = guard.spawn(Command::new("sleep").arg("60")).expect("sleep starts");
        assert!(child.try_wait().expect("asked").is_none());
        drop(guard);
        assert_eq!(child.wait().expect("ended").signal(), Some(9));
    }
}
