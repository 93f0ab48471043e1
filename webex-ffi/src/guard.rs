//! Wraps every C function: failures become a status and the thread's last error, and panics are
//! caught.

use std::{
    cell::RefCell,
    ffi::CString,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use safer_ffi::c_char;

use crate::{failure::Failure, status::Status};

/// The last error of a thread, as C reads it.
pub(crate) struct LastError {
    pub(crate) status: Status,
    pub(crate) message: CString,
    pub(crate) tracking_id: Option<CString>,
}

thread_local! {
    /// The last error of this thread.
    pub(crate) static LAST: RefCell<Option<LastError>> = const { RefCell::new(None) };
}

/// Runs the body of a fallible function: turns its failure into status and last error, and catches
/// a panic.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(Failure::panic()));
    let Err(failure) = outcome else { return Status::Ok };
    let last = LastError {
        status: failure.status,
        message: c_text(failure.message),
        tracking_id: failure.tracking_id.map(c_text),
    };
    let status = last.status;
    LAST.set(Some(last));
    status
}

/// Runs the body of a function that cannot fail, and still catches a panic.
pub(crate) fn shield<T: Empty>(body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| T::empty())
}

/// The result of a function after a panic.
pub(crate) trait Empty {
    fn empty() -> Self;
}

impl Empty for () {
    fn empty() {}
}

impl Empty for i32 {
    fn empty() -> Self {
        Status::Panic as Self
    }
}

impl Empty for *const c_char {
    fn empty() -> Self {
        ptr::null()
    }
}

/// Text for C. Text from a server may hold anything, so NULs are removed.
pub(crate) fn c_text(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    bytes.retain(|byte| *byte != 0);
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_a_nul_reaches_c_whole() {
        assert_eq!(c_text("a\0b"), c"ab".to_owned());
    }
}
