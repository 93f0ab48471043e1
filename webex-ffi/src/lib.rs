//! The C ABI of the Webex SDK.
