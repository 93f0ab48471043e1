//! The version of the library, to compare with that of the header.

use macro_rules_attribute::apply;
use safer_ffi::c_char;

use crate::macros::export;

/// The version of the library, such as `0.1.0`. Compare it with `WEBEX_VERSION` to check that the
/// header has the same version. Never NULL; lives as long as the library.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
