//! Who the user is: Webex OAuth, tokens, storage.
