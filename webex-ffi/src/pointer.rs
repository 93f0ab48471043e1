//! Checks pointers from C before they are used.
//!
//! NULL, misaligned pointers and text that is not UTF-8 are detected here; a dangling pointer
//! cannot be. C promises with every call that there is none.

use std::{
    ffi::CStr,
    mem::MaybeUninit,
    ptr::{self, NonNull},
};

use safer_ffi::c_char;

use crate::failure::Failure;

/// Reads a required text.
///
/// # Safety
/// `pointer` is NULL or points to NUL-terminated bytes that do not change while the result lives.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Failure> {
    // SAFETY: the same promise.
    unsafe { optional_text(pointer, name) }?.ok_or_else(|| Failure::argument(name, "is NULL"))
}

/// Reads an optional text.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    name: &str,
) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so NUL-terminated and unchanging.
    let bytes = unsafe { CStr::from_ptr(pointer.cast()) };
    bytes.to_str().map(Some).map_err(|_| Failure::argument(name, "is not UTF-8"))
}

/// The place for a result. Written once, when the call succeeds.
#[derive(Debug)]
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL, or writable for a `T` until the call returns.
    pub(crate) unsafe fn new(pointer: *mut T, name: &str) -> Result<Self, Failure> {
        // SAFETY: the same promise.
        unsafe { Self::optional(pointer, name) }?.ok_or_else(|| Failure::argument(name, "is NULL"))
    }

    /// The place for an optional result.
    ///
    /// # Safety
    /// As for [`Out::new`].
    pub(crate) unsafe fn optional(pointer: *mut T, name: &str) -> Result<Option<Self>, Failure> {
        if !pointer.is_null() && !pointer.is_aligned() {
            return Err(Failure::argument(name, "is not aligned"));
        }
        Ok(NonNull::new(pointer).map(Self))
    }

    pub(crate) fn write(self, value: T) {
        // SAFETY: not NULL, aligned, and writable as promised to `new`; C's old bytes need no drop.
        unsafe { self.0.as_ptr().write(value) }
    }
}

/// A struct that grows from version to version and begins with its own size in bytes.
///
/// # Safety
/// `repr(C)`, begins with a `u32`, and all zero bytes are a value of it.
pub(crate) unsafe trait Versioned: Copy {
    /// Size of the first version, the minimum for every caller.
    const FIRST_SIZE: usize;
}

/// Larger than any version will be: a size beyond it is garbage.
const LARGEST_STRUCT: usize = 4096;

/// Reads a struct of any version. Fields that an older caller lacks are zero. Fields of a newer
/// caller that this version lacks must be zero, or they would be ignored silently.
///
/// # Safety
/// `pointer` is NULL or points to a struct of the size that its first field says.
pub(crate) unsafe fn read<T: Versioned>(pointer: *const T, name: &str) -> Result<T, Failure> {
    // SAFETY: the same promise.
    let size = unsafe { size_of_struct(pointer, name) }?;
    let bytes = pointer.cast::<u8>();
    for offset in size_of::<T>()..size {
        // SAFETY: within the size that the struct says.
        if unsafe { bytes.add(offset).read() } != 0 {
            return Err(Failure::argument(
                name,
                "is of a newer version and uses what is new in it",
            ));
        }
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: both sides are at least that long, and do not overlap.
    unsafe {
        ptr::copy_nonoverlapping(bytes, value.as_mut_ptr().cast::<u8>(), size.min(size_of::<T>()));
    }
    // SAFETY: zero bytes are a value of each field, and C wrote the others.
    Ok(unsafe { value.assume_init() })
}

/// The place for a struct of the caller's version.
#[derive(Debug)]
pub(crate) struct VersionedOut<T> {
    pointer: NonNull<T>,
    size: usize,
}

impl<T: Versioned> VersionedOut<T> {
    /// # Safety
    /// `pointer` is NULL, or points to a struct that is writable for the size that its first field
    /// says, until the call returns.
    pub(crate) unsafe fn new(pointer: *mut T, name: &str) -> Result<Self, Failure> {
        // SAFETY: the same promise.
        let size = unsafe { size_of_struct(pointer, name) }?.min(size_of::<T>());
        let pointer = NonNull::new(pointer).ok_or_else(|| Failure::argument(name, "is NULL"))?;
        Ok(Self { pointer, size })
    }

    /// Writes as much of the value as the caller's version has, and the size written.
    pub(crate) fn write(self, value: &T) {
        let target = self.pointer.as_ptr();
        // SAFETY: writable for `size`, as promised to `new`; the value is at least as long.
        unsafe {
            ptr::copy_nonoverlapping(
                ptr::from_ref(value).cast::<u8>(),
                target.cast::<u8>(),
                self.size,
            );
        }
        // SAFETY: aligned, and every version begins with its size.
        unsafe { target.cast::<u32>().write(self.size as u32) };
    }
}

/// # Safety
/// `pointer` is NULL or points to a struct that begins with its size.
unsafe fn size_of_struct<T: Versioned>(pointer: *const T, name: &str) -> Result<usize, Failure> {
    if pointer.is_null() {
        return Err(Failure::argument(name, "is NULL"));
    }
    if !pointer.is_aligned() {
        return Err(Failure::argument(name, "is not aligned"));
    }
    // SAFETY: not NULL and aligned, so there is a struct, and it begins with its size.
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    if !(T::FIRST_SIZE..=LARGEST_STRUCT).contains(&size) {
        return Err(Failure::argument(name, "has a `struct_size` that no version has"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    /// Version 2 of a struct whose version 1 had no `second`.
    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Options {
        struct_size: u32,
        first: u32,
        second: u64,
    }

    // SAFETY: `repr(C)`, begins with a `u32`, integers only.
    unsafe impl Versioned for Options {
        const FIRST_SIZE: usize = 8;
    }

    #[repr(C)]
    struct Newer {
        known: Options,
        third: u64,
    }

    fn newer(third: u64) -> Newer {
        let known = Options { struct_size: size_of::<Newer>() as u32, first: 1, second: 2 };
        Newer { known, third }
    }

    fn read_newer(newer: &Newer) -> Result<Options, Failure> {
        // SAFETY: a struct of the size it says.
        unsafe { read(ptr::from_ref(newer).cast::<Options>(), "options") }
    }

    #[test]
    fn missing_fields_of_an_older_caller_are_zero() {
        let old = Options { struct_size: 8, first: 1, second: 99 };
        // SAFETY: a struct of at least the size it says.
        let read = unsafe { read(&raw const old, "options") }.unwrap();
        assert_eq!(read, Options { second: 0, ..old });
    }

    #[test]
    fn a_newer_caller_is_accepted_unless_it_uses_new_fields() {
        assert_eq!(read_newer(&newer(0)).unwrap().second, 2);
        assert_eq!(read_newer(&newer(1)).unwrap_err().status, Status::InvalidArgument);
    }

    #[test]
    fn a_size_that_no_version_has_is_refused() {
        for struct_size in [0, 7, 4097, u32::MAX] {
            let options = Options { struct_size, first: 1, second: 2 };
            // SAFETY: the size is refused before anything beyond it is read.
            let refused = unsafe { read(&raw const options, "options") }.unwrap_err();
            assert_eq!(refused.status, Status::InvalidArgument, "{struct_size}");
        }
        // SAFETY: NULL is allowed.
        assert!(unsafe { read(ptr::null::<Options>(), "options") }.is_err());
    }

    #[test]
    fn an_older_caller_gets_as_much_as_fits() {
        let mut target = Options { struct_size: 8, first: 0, second: 77 };
        // SAFETY: writable for the size it says.
        let out = unsafe { VersionedOut::new(&raw mut target, "out") }.unwrap();
        out.write(&Options { struct_size: 16, first: 5, second: 6 });
        assert_eq!(target, Options { struct_size: 8, first: 5, second: 77 });
    }

    #[test]
    fn bad_pointers_are_reported() {
        let crooked = ptr::without_provenance_mut::<u64>(align_of::<u64>() + 1);
        // SAFETY: NULL is allowed, and a misaligned pointer is refused before it is used.
        unsafe {
            assert!(Out::<u64>::new(ptr::null_mut(), "out").is_err());
            assert!(Out::<u64>::optional(ptr::null_mut(), "out").unwrap().is_none());
            assert!(Out::new(crooked, "out").is_err());
            assert!(text(ptr::null(), "text").is_err());
            assert!(text(c"\xff".as_ptr().cast(), "text").is_err());
            assert_eq!(text(c"fine".as_ptr().cast(), "text").unwrap(), "fine");
        }
    }
}
