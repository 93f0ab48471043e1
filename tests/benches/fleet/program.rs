//! Starts this program again, for one of its parts.

use std::{
    env,
    process::{Command, Stdio},
};

/// This program, with as many open files as the system allows: each client holds a socket.
pub(crate) fn again<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let program = env::current_exe().expect("this program has a path");
    let mut command = Command::new("sh");
    command.arg("-c").arg("ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\"").arg(program);
    command.args(arguments).stderr(Stdio::inherit());
    command
}
