//! Error information for C: the names of statuses, and the last error of a thread.

use std::ptr;

use macro_rules_attribute::apply;
use safer_ffi::c_char;

use crate::{guard::LAST, macros::export, status::name};

/// The stable lower-case name of a status, such as `invalid_handle`; `unknown` for any other
/// number. Never NULL; the text lives as long as the library.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_status_name(status: i32) -> *const c_char {
    name(status).as_ptr().cast()
}

/// The status of the last failed call on this thread; 0 when none has failed. A successful call
/// does not change it.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_last_error_status() -> i32 {
    LAST.with_borrow(|last| last.as_ref().map_or(0, |last| last.status as i32))
}

/// The message of the last failed call on this thread, in English, for a log; NULL when none has
/// failed. Holds no secret. Lives until the next failed call on this thread.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_last_error_message() -> *const c_char {
    LAST.with_borrow(|last| last.as_ref().map_or(ptr::null(), |last| last.message.as_ptr().cast()))
}

/// The tracking id to quote to Webex support about the last failed call on this thread; NULL when
/// it has none. Lives until the next failed call on this thread.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_last_error_tracking_id() -> *const c_char {
    LAST.with_borrow(|last| {
        let id = last.as_ref().and_then(|last| last.tracking_id.as_ref());
        id.map_or(ptr::null(), |id| id.as_ptr().cast())
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::{
        failure::Failure,
        guard::{guard, shield},
        status::Status,
    };

    fn last_message() -> Option<String> {
        // SAFETY: takes no pointer; the text lives until the next failure of this thread.
        unsafe {
            let message = webex_last_error_message();
            (!message.is_null())
                .then(|| CStr::from_ptr(message.cast()).to_str().unwrap().to_owned())
        }
    }

    #[test]
    fn a_panic_becomes_a_status_and_its_text_stays_inside() {
        assert_eq!(guard(|| panic!("with a secret")), Status::Panic);
        assert!(!last_message().unwrap().contains("secret"));
        assert!(shield::<*const c_char>(|| panic!("again")).is_null());
    }

    #[test]
    fn a_failure_is_remembered_by_its_thread_alone() {
        let failure = || Failure { tracking_id: Some("t_1".to_owned()), ..Failure::freed() };
        assert_eq!(guard(|| Err(failure())), Status::Cancelled);
        assert_eq!(guard(|| Ok(())), Status::Ok);
        assert_eq!(last_message().as_deref(), Some("the client was freed"));
        // SAFETY: take no pointer; the text lives until the next failure of this thread.
        unsafe {
            assert_eq!(webex_last_error_status(), Status::Cancelled as i32);
            assert_eq!(CStr::from_ptr(webex_last_error_tracking_id().cast()), c"t_1");
        }
        std::thread::spawn(|| assert_eq!(last_message(), None)).join().unwrap();
    }
}
