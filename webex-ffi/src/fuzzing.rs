//! The fuzz target of `fuzz/`. The test below runs it on the committed corpus.

use std::ffi::CString;

use crate::pointer;

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub const TARGETS: &[Target] = &[("c_text", c_text)];

/// Text from C: UTF-8 is passed on unchanged, up to the first NUL; anything else is refused.
pub fn c_text(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let bytes = &data[..end];
    let text = CString::new(bytes).expect("no NUL inside");
    // SAFETY: NUL-terminated, and alive until the end of this function.
    let read = unsafe { pointer::text(text.as_ptr().cast(), "text") };
    assert_eq!(read.ok(), std::str::from_utf8(bytes).ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_passes() {
        webex_tests::corpus::run(TARGETS);
    }
}
