//! See `webex_core::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| webex_core::fuzzing::close_frame(data));
