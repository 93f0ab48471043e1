//! The control API over HTTP, under `/sandbox`.

/// Whether a path belongs to the control API: such requests are not logged, delayed or made to fail.
pub(crate) fn owns(path: &str) -> bool {
    path == "/sandbox" || path.starts_with("/sandbox/")
}
