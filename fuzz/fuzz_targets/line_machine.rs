//! See `webex_calling::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| webex_calling::fuzzing::line_machine(data));
