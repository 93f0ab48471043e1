//! `webex register --state-dir`: the state that survives the end of a process.

#![cfg(unix)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use support::{ca_file, register};
use tempfile::TempDir;
use webex_sandbox::{Sandbox, Wdm};
use webex_tests::user::assert_empty;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_process_leaves_state_that_the_next_one_uses() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let state = folder.path().join("state");
    let arguments = ["--state-dir", state.to_str().unwrap()];

    let mut killed = register(&sandbox, &ca, &arguments);
    killed.wait_for_event("registered");
    killed.wait_for_event("meetings:registered");
    let kept = |s: &Sandbox| {
        fs::read_dir(&state).is_ok_and(|mut it| it.next().is_some()) && s.counts().devices == 1
    };
    sandbox.wait_for(kept).await.unwrap();
    killed.signal("KILL");
    assert!(!killed.end().status.success());
    let (device, line) = (sandbox.devices()[0].url.clone(), sandbox.lines()[0].device_id.clone());
    // Other users cannot read it.
    for file in fs::read_dir(&state).unwrap().map(Result::unwrap) {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }

    let mut next = register(&sandbox, &ca, &arguments);
    next.wait_for_event("registered");
    next.wait_for_event("meetings:registered");
    assert_eq!(sandbox.requests().of(Wdm::register()).count(), 1, "the device is the same");
    assert_eq!((sandbox.devices().len(), &sandbox.devices()[0].url), (1, &device));
    assert_eq!((sandbox.lines().len(), &sandbox.lines()[0].device_id), (1, &line));
    next.signal("INT");
    assert_eq!(next.end().code(), 0);
    assert_empty(&sandbox);
}
