//! Every fuzz target in one program, linked once: `WEBEX_FUZZ_TARGET` names the one to run.
//!
//! What the targets do stands in each crate's `fuzzing` module. `cargo xtask fuzz` builds and runs this.
#![no_main]

use std::{env, sync::OnceLock};

static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHOSEN.get_or_init(chosen)(data));

fn chosen() -> fn(&[u8]) {
    let name = env::var("WEBEX_FUZZ_TARGET").expect("WEBEX_FUZZ_TARGET names a target");
    let all = [
        webex_auth::fuzzing::TARGETS,
        webex_calling::fuzzing::TARGETS,
        webex_core::fuzzing::TARGETS,
        webex_ffi::fuzzing::TARGETS,
    ];
    let found = all.into_iter().flatten().find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("no target `{name}`")).1
}
