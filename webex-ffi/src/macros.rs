//! The wrapper of every function of the C ABI.
//!
//! A function is written as C sees it, because cbindgen generates the header from the text. For the
//! compiler, [`export`] replaces the `no_mangle` by safer-ffi's `ffi_export` (a parameter without a
//! defined C layout is then a compile error) and wraps the body:
//!
//! - `-> Status`: the body is a `Result<(), Failure>`; a failure becomes the status and the
//!   thread's last error ([`guard`](crate::guard::guard)).
//! - any other result: the body returns the value itself ([`shield`](crate::guard::shield)).
//!
//! In both cases a panic is caught, since unwinding into C is undefined.

/// Exports a function to C. See the [module documentation](self).
macro_rules! export {
    (
        $(#[doc = $doc:literal])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> Status $body:block
    ) => {
        $(#[doc = $doc])*
        #[allow(unreachable_pub)] // safer-ffi nests a `pub` function in it
        #[::safer_ffi::ffi_export]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> Status {
            $crate::guard::guard(move || -> Result<(), $crate::failure::Failure> { $body })
        }
    };
    (
        $(#[doc = $doc:literal])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[doc = $doc])*
        #[allow(unreachable_pub)] // safer-ffi nests a `pub` function in it
        #[::safer_ffi::ffi_export]
        pub unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? {
            $crate::guard::shield(move || $body)
        }
    };
}

pub(crate) use export;
