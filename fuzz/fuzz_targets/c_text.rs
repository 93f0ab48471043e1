//! See `webex_ffi::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| webex_ffi::fuzzing::c_text(data));
