//! See `webex_auth::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| webex_auth::fuzzing::xml_answer(data));
