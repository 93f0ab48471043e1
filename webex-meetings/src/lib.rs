//! Registers a Webex Meetings device: ready, register, unregister.
