//! Standard output: permanent lines and, in a terminal, a status below them that is updated in
//! place.
//!
//! ```text
//!     0.031 s  line      registered    sip:ann@… with …     ◄─ print: stays
//! ● registered with …, keepalive at 30.0 s, in 17 s          ◄─ status: overwritten in place
//! ```
//!
//! Three sequences that every terminal supports are enough, so no library is needed. Nothing has to
//! be undone when the program is killed: automatic wrapping is off while the status is written, so
//! that a long one cannot take two rows, and on again in the same write.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use parking_lot::Mutex;
use webex_sdk::core::ServerText;

/// Moves to the start of the row and clears it.
const ERASE: &str = "\r\x1b[2K";
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";

/// The health that a status shows, by its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Everything is registered.
    Good,
    /// Something is in progress.
    Busy,
    /// Nothing is registered.
    Bad,
}

impl Health {
    fn colour(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Busy => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// Standard output. Clones are the same.
#[derive(Clone)]
pub(crate) struct Screen {
    shared: Arc<Mutex<Shared>>,
    live: bool,
    colours: bool,
}

struct Shared {
    out: Box<dyn Write + Send>,
    /// The status on the screen; empty when there is none.
    status: String,
}

impl Screen {
    /// Standard output; with a status when `live` and it is a terminal.
    pub(crate) fn stdout(live: bool) -> Self {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal()
            && match variable("TERM") {
                Some(term) => term != "dumb",
                // The old console of Windows has no sequences; the new one sets this variable.
                None => variable("WT_SESSION").is_some(),
            };
        // https://no-color.org: whatever its value, when it is not empty.
        let colours = variable("NO_COLOR").is_none();
        Self::new(Box::new(io::stdout()), live && terminal, colours)
    }

    pub(crate) fn new(out: Box<dyn Write + Send>, live: bool, colours: bool) -> Self {
        let shared = Shared { out, status: String::new() };
        Self { shared: Arc::new(Mutex::new(shared)), live, colours }
    }

    /// Whether a status is shown.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Writes a line that stays.
    pub(crate) fn print(&self, text: &str) {
        let mut shared = self.shared.lock();
        let status = std::mem::take(&mut shared.status);
        let erase = if status.is_empty() { "" } else { ERASE };
        shared.write(&format!("{erase}{}\n{status}", harmless(text)));
        shared.status = status;
    }

    /// Replaces the status; `None` clears it.
    pub(crate) fn status(&self, status: Option<(Health, &str)>) {
        if !self.live {
            return;
        }
        let status = status.map_or_else(String::new, |(health, text)| {
            let (on, off) = if self.colours { (health.colour(), "\x1b[0m") } else { ("", "") };
            let text = harmless(text);
            format!("{WRAP_OFF}{on}●{off} {text}{WRAP_ON}")
        });
        let mut shared = self.shared.lock();
        if status != shared.status {
            shared.write(&format!("{ERASE}{status}"));
            shared.status = status;
        }
    }
}

/// The text without characters that control a terminal or change the text direction: names and
/// numbers that servers send are printed, too.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        ' ' | '\n' => c,
        c if c.is_ascii_graphic() => c,
        c => ServerText::new(c.encode_utf8(&mut [0; 4])).as_str().chars().next().unwrap_or(' '),
    };
    text.chars().map(shown).collect()
}

impl Shared {
    /// Writes at once. A reader that went away (`| head`) is no reason to leave devices behind: the
    /// program goes on without output.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap()
        }
    }

    #[test]
    fn what_servers_send_controls_no_terminal() {
        let page = Page::default();
        let screen = Screen::new(Box::new(page.clone()), false, false);
        screen.print("Zoë \u{1b}[2J\u{202e}\u{9b}x\ty {\"a\":1}");
        let replaced = char::REPLACEMENT_CHARACTER;
        let expected = format!("Zoë {replaced}[2J{replaced}{replaced}x y {{\"a\":1}}\n");
        assert_eq!(page.take(), expected);
    }

    #[test]
    fn lines_go_above_the_status() {
        let page = Page::default();
        let screen = Screen::new(Box::new(page.clone()), true, true);
        screen.print("one");
        assert_eq!(page.take(), "one\n");
        screen.status(Some((Health::Good, "well")));
        let status = "\x1b[?7l\x1b[32m●\x1b[0m well\x1b[?7h";
        assert_eq!(page.take(), format!("\r\x1b[2K{status}"));
        screen.status(Some((Health::Good, "well")));
        assert_eq!(page.take(), "", "nothing has changed");
        screen.print("two");
        assert_eq!(page.take(), format!("\r\x1b[2Ktwo\n{status}"));
        screen.status(None);
        assert_eq!(page.take(), "\r\x1b[2K");
        screen.print("three");
        assert_eq!(page.take(), "three\n");
    }

    #[test]
    fn without_colours_and_without_a_terminal() {
        let page = Page::default();
        let screen = Screen::new(Box::new(page.clone()), true, false);
        screen.status(Some((Health::Bad, "ill")));
        assert_eq!(page.take(), "\r\x1b[2K\x1b[?7l● ill\x1b[?7h");

        let screen = Screen::new(Box::new(page.clone()), false, true);
        screen.status(Some((Health::Bad, "ill")));
        screen.print("plain");
        assert_eq!(page.take(), "plain\n");
    }
}
